//! Metrics.

use datadog_metrics::{Tags, Timer};
use datadog_transport::{FlushReport, SignalKind};

use crate::DDClient;

impl DDClient {
    /// Sets a gauge: the last value of each flush period is what counts.
    pub fn gauge(&self, name: &str, value: f64, tags: impl Tags) {
        self.inner.metrics.gauge(name, value, tags);
    }

    /// Adds `value` to a count.
    pub fn count(&self, name: &str, value: i64, tags: impl Tags) {
        self.inner.metrics.count(name, value, tags);
    }

    /// Measures the time until the guard is dropped, in seconds, as a distribution.
    pub fn measure(&self, name: &str, tags: impl Tags) -> Timer {
        self.inner.metrics.measure(name, tags)
    }

    /// Runs `work` and measures its time, in seconds, as a distribution.
    pub fn measure_fn<T>(&self, name: &str, tags: impl Tags, work: impl FnOnce() -> T) -> T {
        self.inner.metrics.measure_fn(name, tags, work)
    }

    /// Sends the metrics that are buffered, and waits at most the shutdown timeout for it.
    pub fn flush_metrics(&self) -> FlushReport {
        self.inner
            .transport
            .flush_signal(SignalKind::Metrics, self.inner.config.shutdown_timeout())
    }
}
