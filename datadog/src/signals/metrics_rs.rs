//! Metrics that are reported through the `metrics` crate.

use datadog_metrics::MetricsRecorder;

use crate::DDClient;

impl DDClient {
    /// A recorder for the `metrics` crate: installed, it takes what the libraries of the program report with its macros. It may
    /// outlive the client, and then drops what it gets.
    ///
    /// ```
    /// # let config = datadog::DDConfig::builder().environment([("", "")]).build().unwrap();
    /// # let client = datadog::DDClient::new(config).unwrap();
    /// client.metrics_recorder().install().unwrap();
    ///
    /// metrics::counter!("page.views", "route" => "/cart").increment(1);
    /// # assert_eq!(client.health().total().accepted, 1);
    /// ```
    pub fn metrics_recorder(&self) -> MetricsRecorder {
        self.metrics().recorder()
    }
}
