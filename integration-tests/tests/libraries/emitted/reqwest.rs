//! reqwest, with the middleware of reqwest-tracing.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use datadog::DDClient;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_tracing::{SpanBackendWithUrl, TracingMiddleware};
use tokio::net::TcpListener;
use tracing::Instrument;

use crate::fixture::{Fixture, assert_child, named, tags};

fn traced() -> ClientBuilder {
    ClientBuilder::new(reqwest::Client::new()).with(TracingMiddleware::<SpanBackendWithUrl>::new())
}

/// Asks a server of its own, in a span `order`: what works, what does not, and what is not there.
async fn ask(web: ClientWithMiddleware) -> u16 {
    let router = Router::new()
        .route("/stock/{item}", get(|| async { "12" }))
        .route("/gone", get(|| async { StatusCode::GONE }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let url = |path: &str| format!("http://user:secret@{address}{path}");
    let ask = async {
        let found = web.get(url("/stock/17?token=secret")).send().await;
        assert_eq!(found.unwrap().text().await.unwrap(), "12");
        assert_eq!(web.get(url("/gone")).send().await.unwrap().status(), 410);
        web.get("http://127.0.0.1:0/").send().await.unwrap_err();
    };
    ask.instrument(tracing::info_span!("order")).await;
    address.port()
}

#[test]
fn requests_become_spans() {
    let fixture = Fixture::new();
    let port = fixture.run_traced(ask(traced().build()));
    let spans = fixture.spans(4);
    let order = named(&spans, "order");
    let mut requests: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "http.client.request")
        .collect();
    requests.sort_by_key(|span| span.start_ns);
    let told: Vec<_> = requests
        .iter()
        .map(|span| (tags(span, ["http.status_code"]), span.error))
        .collect();
    let owned = |text: &str| [text.to_owned()];
    assert_eq!(
        told,
        [(owned("200"), 0), (owned("410"), 1), (owned("-"), 1)]
    );
    for request in &requests {
        assert_child(request, order);
        assert_eq!((&*request.resource, &*request.type_), ("GET", "http"));
        let keys = ["component", "span.kind", "http.method", "out.host"];
        assert_eq!(
            tags(request, keys),
            ["reqwest", "client", "GET", "127.0.0.1"]
        );
        let told = request.meta.values().any(|value| value.contains("secret"));
        assert!(!told, "{request:?}");
    }
    let port = port.to_string();
    let url = format!("http://127.0.0.1:{port}/stock/17?<redacted>");
    let keys = ["http.url", "network.destination.port"];
    assert_eq!(tags(requests[0], keys), [url, port]);
    let [message] = tags(requests[2], ["error.message"]);
    assert!(message.len() > 1, "{message}");
}

#[test]
fn the_middleware_of_this_crate_tells_the_same_once() {
    let fixture = Fixture::new();
    let web = |client: &DDClient| traced().with(client.reqwest_middleware()).build();
    fixture.run_traced(ask(web(&fixture.client)));
    let spans = fixture.spans(4);
    let is_child = |span: &&datadog_local_agent::Span| span.name == "http.client.request";
    for request in spans.iter().filter(is_child) {
        assert_child(request, named(&spans, "order"));
    }
}
