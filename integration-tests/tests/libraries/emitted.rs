//! What web servers and clients tell with `tracing` of themselves.

mod actix_web;
mod aws;
mod axum;
mod clickhouse;
mod fred;
mod graphql;
mod mysql;
mod poem;
mod reqwest;
mod warp;

use std::future::Future;

use datadog_local_agent::Span;
use tracing_subscriber::layer::SubscriberExt;

use crate::fixture::{Fixture, tags};

impl Fixture {
    /// Runs with the layer of the client: this, and all tasks that it starts.
    fn run_traced<T>(&self, work: impl Future<Output = T>) -> T {
        let subscriber = tracing_subscriber::registry().with(self.client.tracing_layer());
        // One thread, which the subscriber is for.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tracing::subscriber::with_default(subscriber, || runtime.block_on(work))
    }
}

/// How a server answers requests for these paths, one after the other.
async fn statuses<const N: usize>(address: &str, paths: [&str; N]) -> [u16; N] {
    let mut statuses = [0; N];
    for (status, path) in statuses.iter_mut().zip(paths) {
        let answer = ::reqwest::get(format!("http://{address}{path}")).await;
        *status = answer.unwrap().status().as_u16();
    }
    statuses
}

/// The spans of requests that were answered, in their order: each with its resource, its status, whether it failed, and why.
#[track_caller]
fn answered<'a>(spans: &'a [Span], expected: &[(&str, &str, i32, &str)]) -> Vec<&'a Span> {
    let mut requests: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "http.server.request")
        .collect();
    requests.sort_by_key(|span| span.start_ns);
    let told: Vec<_> = requests
        .iter()
        .map(|span| {
            assert_eq!((&*span.type_, span.parent_id), ("web", 0));
            let told = tags(span, ["http.status_code", "error.message"]);
            (&*span.resource, told, span.error)
        })
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(resource, [status, message], error)| (*resource, &**status, *error, &**message))
        .collect();
    assert_eq!(told, expected);
    requests
}
