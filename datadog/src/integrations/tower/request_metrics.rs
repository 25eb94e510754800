//! A metric of requests.

use std::sync::Arc;

use super::exchange::{Ended, OnEnd};
use crate::DDClient;

/// What sends it.
pub(in crate::integrations) fn measure(client: &DDClient) -> OnEnd {
    let metrics = client.inner.metrics.clone();
    Arc::new(move |ended: &Ended<'_>| {
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
    })
}
