//! Metrics of tokio runtimes.

use tokio::runtime::Handle;

use crate::DDClient;

impl DDClient {
    /// Sends the figures of a tokio runtime with the metrics of the process: see
    /// [`RuntimeMetrics::observe_tokio`](datadog_metrics::RuntimeMetrics::observe_tokio).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// # let config = datadog::DDConfig::builder().environment([("", "")]).build().unwrap();
    /// # let client = datadog::DDClient::new(config).unwrap();
    /// client.observe_tokio(&tokio::runtime::Handle::current());
    /// # });
    /// ```
    pub fn observe_tokio(&self, handle: &Handle) {
        self.runtime_metrics().observe_tokio(handle);
    }
}
