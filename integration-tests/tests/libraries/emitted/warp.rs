//! warp, with its filter `warp::trace::request()`.

use http::StatusCode;
use tokio::net::TcpListener;
use warp::Filter;

use super::{answered, statuses};
use crate::fixture::{Fixture, assert_child, named, tags};

#[derive(Debug)]
struct Silent;

impl warp::reject::Reject for Silent {}

/// Serves on a free port, and asks for these paths one after the other.
async fn ask<const N: usize>(paths: [&str; N]) -> [u16; N] {
    let cart = warp::path!("cart" / u64).map(|id| {
        let _span = tracing::info_span!("cart.load").entered();
        format!("cart {id}")
    });
    let broken = warp::path!("broken").map(|| StatusCode::BAD_GATEWAY);
    let silent =
        warp::path!("silent").and_then(|| async { Err::<&str, _>(warp::reject::custom(Silent)) });
    let routes = cart.or(broken).or(silent).with(warp::trace::request());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    statuses(&address.to_string(), paths).await
}

#[test]
fn requests_become_spans() {
    let fixture = Fixture::new();
    let statuses = fixture.run_traced(ask([
        "/cart/17?token=secret",
        "/broken",
        "/silent",
        "/nowhere",
    ]));
    assert_eq!(statuses, [200, 502, 500, 404]);
    let spans = fixture.spans(5);
    let expected = [
        ("GET /cart/?", "200", 0, "-"),
        ("GET /broken", "502", 1, "-"),
        ("GET /silent", "500", 1, "Rejection(Silent)"),
        ("GET /nowhere", "404", 0, "-"),
    ];
    let requests = answered(&spans, &expected);
    for request in &requests {
        assert_eq!(
            tags(request, ["component", "span.kind"]),
            ["warp", "server"]
        );
    }
    assert_child(named(&spans, "cart.load"), requests[0]);
}
