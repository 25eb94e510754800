//! poem, with its middleware `Tracing`.

use poem::error::{BadGateway, NotFoundError};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::middleware::Tracing;
use poem::web::Path;
use poem::{EndpointExt, Route, Server, get, handler};

use super::{answered, statuses};
use crate::fixture::{Fixture, assert_child, named, tags};

#[handler]
fn cart(Path(id): Path<u64>) -> String {
    let _span = tracing::info_span!("cart.load").entered();
    format!("cart {id}")
}

#[handler]
fn broken() -> poem::Result<String> {
    Err(BadGateway(std::io::Error::other("the stock is silent")))
}

#[handler]
fn refused() -> poem::Result<String> {
    Err(NotFoundError.into())
}

/// Serves on a free port, and asks for these paths one after the other.
async fn ask<const N: usize>(paths: [&str; N]) -> [u16; N] {
    let routes = Route::new()
        .at("/cart/:id", get(cart))
        .at("/broken", get(broken))
        .at("/refused", get(refused))
        .with(Tracing);
    let acceptor = TcpListener::bind("127.0.0.1:0")
        .into_acceptor()
        .await
        .unwrap();
    let address = acceptor.local_addr()[0].to_string();
    let address = address.trim_start_matches("socket://");
    tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
    statuses(address, paths).await
}

#[test]
fn requests_become_spans() {
    let fixture = Fixture::with(|config| config.client_ip_enabled(true));
    let statuses = fixture.run_traced(ask(["/cart/17?token=secret", "/broken", "/refused"]));
    assert_eq!(statuses, [200, 502, 404]);
    let spans = fixture.spans(4);
    let expected = [
        ("GET /cart/?", "200", 0, "-"),
        ("GET /broken", "502", 1, "the stock is silent"),
        ("GET /refused", "404", 0, "-"),
    ];
    let requests = answered(&spans, &expected);
    for request in &requests {
        let keys = ["component", "span.kind", "http.client_ip"];
        assert_eq!(tags(request, keys), ["poem", "server", "127.0.0.1"]);
    }
    let expected = ["/cart/17?<redacted>"];
    assert_eq!(tags(requests[0], ["http.url"]), expected);
    assert_child(named(&spans, "cart.load"), requests[0]);
}
