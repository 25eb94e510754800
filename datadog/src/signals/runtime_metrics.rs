//! Metrics of the process itself.

use datadog_metrics::RuntimeMetrics;

use crate::DDClient;

impl DDClient {
    /// The metrics of the process itself, which are sent every 10 seconds if
    /// [`DDConfig::runtime_metrics_enabled`](crate::DDConfig::runtime_metrics_enabled) says so: see [`RuntimeMetrics`] for their
    /// names.
    pub fn runtime_metrics(&self) -> &RuntimeMetrics {
        &self.inner.runtime_metrics
    }
}
