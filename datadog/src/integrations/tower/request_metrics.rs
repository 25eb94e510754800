//! A metric of requests.

use std::sync::Arc;

use http::Method;

use super::exchange::{Ended, OnEnd};
use crate::DDClient;

/// What sends it.
pub(in crate::integrations) fn measure(client: &DDClient) -> OnEnd {
    let metrics = client.inner.metrics.clone();
    Arc::new(move |ended: &Ended<'_>| {
        let status = ended.status.map(|status| status.to_string());
        let tags = [
            ("http.request.method", Some(known(ended.method))),
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

/// The name of a method that is one of HTTP's. Others, which the other end may think up without end, have one in common
/// (OpenTelemetry semantic conventions, "HTTP attributes": `http.request.method`).
fn known(method: &Method) -> &str {
    match *method {
        Method::CONNECT
        | Method::DELETE
        | Method::GET
        | Method::HEAD
        | Method::OPTIONS
        | Method::PATCH
        | Method::POST
        | Method::PUT
        | Method::TRACE => method.as_str(),
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_nobody_knows_are_one() {
        for method in ["GET", "PATCH", "TRACE"] {
            assert_eq!(known(&method.parse().unwrap()), method);
        }
        for method in ["PURGE", "get", "X1", "X2"] {
            assert_eq!(known(&method.parse().unwrap()), "_OTHER");
        }
    }
}
