//! Metrics of the process itself.

use datadog_metrics::{Metrics, RuntimeMetrics};
use datadog_transport::TransportBuilder;

use crate::DDClient;

/// Starts them, with what the signals of this client know besides.
pub(crate) fn join(transport: &mut TransportBuilder, metrics: &Metrics) -> RuntimeMetrics {
    let runtime_metrics = RuntimeMetrics::join(transport, metrics);
    #[cfg(feature = "profiling")]
    super::allocations::observe(&runtime_metrics);
    runtime_metrics
}

impl DDClient {
    /// The metrics of the process itself, which are sent every 10 seconds if
    /// [`DDConfig::runtime_metrics_enabled`](crate::DDConfig::runtime_metrics_enabled) says so: see [`RuntimeMetrics`] for their
    /// names.
    pub fn runtime_metrics(&self) -> &RuntimeMetrics {
        &self.inner.runtime_metrics
    }
}
