//! A metric of requests.

use std::sync::Arc;

use super::exchange::Ended;
use super::server::ServerLayer;
use crate::DDClient;

impl ServerLayer {
    /// Measures requests, whether their traces are kept or not: a distribution `http.server.request.duration` in seconds,
    /// with the tags `http.request.method`, `http.route` and `http.response.status_code`, as OpenTelemetry's conventions have
    /// it. A request without a response has no status, one without a route no route, and neither has a call of gRPC to what does
    /// not exist.
    #[must_use]
    pub fn request_metrics(self, client: &DDClient) -> Self {
        let metrics = client.inner.metrics.clone();
        self.on_end(Arc::new(move |ended: &Ended<'_>| {
            let status = ended.status.map(|status| status.to_string());
            let tags = [
                ("http.request.method", Some(ended.method.as_str())),
                ("http.route", ended.route),
                ("http.response.status_code", status.as_deref()),
            ];
            let tags = tags
                .iter()
                .filter_map(|(key, value)| Some((*key, (*value)?)));
            metrics.distribution(
                "http.server.request.duration",
                ended.time.as_secs_f64(),
                tags.collect::<Vec<_>>(),
            );
        }))
    }
}
