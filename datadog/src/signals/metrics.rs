//! Metrics.

use std::time::Duration;

use datadog_metrics::{
    Counter, Distribution, Event, Gauge, Histogram, Metrics, Sampled, ServiceCheck, Tags, Timer,
    Timing,
};
use datadog_transport::{FlushReport, SignalKind};

use crate::DDClient;

/// Metrics by name and tags. Tags are pairs or `key:value` texts, and `()` for none: see [`Tags`].
impl DDClient {
    /// Adds `value` to a count. Without a name, it is that of the active span with `.count` after it.
    #[inline]
    pub fn count(&self, name: &str, value: i64, tags: impl Tags) {
        self.metrics().count(name, value, tags);
    }

    /// Adds 1 to a count.
    #[inline]
    pub fn increment(&self, name: &str, tags: impl Tags) {
        self.metrics().increment(name, tags);
    }

    /// Takes 1 from a count.
    #[inline]
    pub fn decrement(&self, name: &str, tags: impl Tags) {
        self.metrics().decrement(name, tags);
    }

    /// Sets a gauge. What counts is its last value before each flush.
    #[inline]
    pub fn gauge(&self, name: &str, value: f64, tags: impl Tags) {
        self.metrics().gauge(name, value, tags);
    }

    /// Adds a value to a histogram, which the agent sums up for its own host.
    #[inline]
    pub fn histogram(&self, name: &str, value: f64, tags: impl Tags) {
        self.metrics().histogram(name, value, tags);
    }

    /// Adds a value to a distribution, which Datadog sums up over all hosts.
    #[inline]
    pub fn distribution(&self, name: &str, value: f64, tags: impl Tags) {
        self.metrics().distribution(name, value, tags);
    }

    /// Adds a time to a timing, which is a histogram of milliseconds.
    #[inline]
    pub fn timing(&self, name: &str, time: Duration, tags: impl Tags) {
        self.metrics().timing(name, time, tags);
    }

    /// Metrics of which only a part is taken, by chance: `client.sampled(0.1).count(…)`. See [`Sampled`].
    pub fn sampled(&self, rate: f64) -> Sampled<&Metrics> {
        self.metrics().sampled(rate)
    }

    /// Adds a member to a set: what counts is the number of different members.
    pub fn set(&self, name: &str, member: impl AsRef<str>, tags: impl Tags) {
        self.metrics().set(name, member, tags);
    }

    /// Sends an event.
    pub fn event(&self, event: &Event<'_>, tags: impl Tags) {
        self.metrics().event(event, tags);
    }

    /// Sends what a check of a service found.
    pub fn service_check(&self, check: &ServiceCheck<'_>, tags: impl Tags) {
        self.metrics().service_check(check, tags);
    }

    /// Measures the time until the guard is dropped, in seconds, as a distribution.
    pub fn measure(&self, name: &str, tags: impl Tags) -> Timer {
        self.metrics().measure(name, tags)
    }

    /// Runs `work` and measures its time, in seconds, as a distribution.
    pub fn measure_fn<T>(&self, name: &str, tags: impl Tags, work: impl FnOnce() -> T) -> T {
        self.metrics().measure_fn(name, tags, work)
    }
}

/// Metrics by handle: name and tags are looked up once, and each value costs a few nanoseconds.
impl DDClient {
    /// A count to add to.
    pub fn counter(&self, name: &str, tags: impl Tags) -> Counter {
        self.metrics().counter(name, tags)
    }

    /// A gauge to set.
    pub fn gauge_handle(&self, name: &str, tags: impl Tags) -> Gauge {
        self.metrics().gauge_handle(name, tags)
    }

    /// A histogram to add to.
    pub fn histogram_handle(&self, name: &str, tags: impl Tags) -> Histogram {
        self.metrics().histogram_handle(name, tags)
    }

    /// A distribution to add to.
    pub fn distribution_handle(&self, name: &str, tags: impl Tags) -> Distribution {
        self.metrics().distribution_handle(name, tags)
    }

    /// A timing to add to.
    pub fn timing_handle(&self, name: &str, tags: impl Tags) -> Timing {
        self.metrics().timing_handle(name, tags)
    }
}

impl DDClient {
    /// The metrics alone: for [`Metrics::namespaced`], for values of a certain time, and for the macros, which keep a
    /// handle for the place they stand at:
    ///
    /// ```
    /// # let config = datadog::DDConfig::builder().environment([("", "")]).build().unwrap();
    /// # let client = datadog::DDClient::new(config).unwrap();
    /// datadog::metrics::count!(client.metrics(), "page.views", 1, "route" => "/cart");
    /// ```
    #[inline]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Sends the metrics that are buffered, and waits at most the shutdown timeout for it.
    pub fn flush_metrics(&self) -> FlushReport {
        let limit = self.inner.config.shutdown_timeout();
        self.inner
            .transport
            .flush_signal(SignalKind::Metrics, limit)
    }
}
