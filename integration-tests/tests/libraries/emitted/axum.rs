//! axum, with the layer of axum-tracing-opentelemetry.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use tokio::net::TcpListener;

use super::{answered, statuses};
use crate::fixture::{Fixture, assert_child, named, tags};

async fn cart(Path(id): Path<u64>) -> String {
    let _span = tracing::info_span!("cart.load").entered();
    format!("cart {id}")
}

/// Serves on a free port, and asks for these paths one after the other.
async fn ask<const N: usize>(paths: [&str; N]) -> [u16; N] {
    let router = Router::new()
        .route("/cart/{id}", get(cart))
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
        .layer(OtelAxumLayer::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    statuses(&address.to_string(), paths).await
}

#[test]
fn requests_become_spans() {
    let fixture = Fixture::new();
    let statuses = fixture.run_traced(ask(["/cart/17?token=secret", "/broken", "/nowhere/17"]));
    assert_eq!(statuses, [200, 502, 404]);
    let spans = fixture.spans(4);
    let expected = [
        ("GET /cart/{id}", "200", 0, "-"),
        ("GET /broken", "502", 1, "-"),
        ("GET /nowhere/?", "404", 0, "-"),
    ];
    let requests = answered(&spans, &expected);
    for request in &requests {
        let keys = ["component", "span.kind", "http.method"];
        assert_eq!(tags(request, keys), ["axum", "server", "GET"]);
        assert_eq!(request.service, "shop");
        let told = request.meta.values().any(|value| value.contains("secret"));
        assert!(!told, "{request:?}");
    }
    let routes: Vec<_> = requests
        .iter()
        .map(|request| tags(request, ["http.route", "url.path"]))
        .collect();
    let expected = [
        ["/cart/{id}", "/cart/17"],
        ["/broken", "/broken"],
        // A route that is none is not told.
        ["-", "/nowhere/17"],
    ];
    assert_eq!(routes, expected);
    assert_child(named(&spans, "cart.load"), requests[0]);
}
