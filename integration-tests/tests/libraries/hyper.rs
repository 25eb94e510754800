//! A server of hyper and the client of hyper-util, with the layers for tower: one trace.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use datadog::DDClient;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::fixture::{Fixture, assert_child, named, runtime, tags};

/// Serves `/stock/…`, in a span `stock.count`, and answers everything else with 503.
async fn serve(client: DDClient) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let layer = client.tower_server_layer().component("hyper");
            let client = client.clone();
            let service = ServiceBuilder::new().layer(layer).service(service_fn(
                move |request: Request<Incoming>| {
                    let client = client.clone();
                    async move { Ok::<_, Infallible>(answer(&client, request.uri().path())) }
                },
            ));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)),
            );
        }
    });
    address
}

fn answer(client: &DDClient, path: &str) -> Response<Full<Bytes>> {
    if path.starts_with("/stock/") {
        let _span = client.trace("stock.count");
        return Response::new("12".into());
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// Asks for a path within a span `order`.
fn ask(fixture: &Fixture, path: &str) -> (StatusCode, Bytes, SocketAddr) {
    runtime().block_on(async {
        let address = serve(fixture.client.clone()).await;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let client = ServiceBuilder::new()
            .layer(fixture.client.tower_client_layer())
            .service(client);
        let url = format!("http://{address}{path}");
        let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
        let order = fixture.client.trace("order").detach();
        let ask = async {
            let (head, body) = client.oneshot(request).await.unwrap().into_parts();
            (head.status, body.collect().await.unwrap().to_bytes())
        };
        let (status, body) = datadog::FutureExt::in_span(ask, order).await;
        (status, body, address)
    })
}

#[test]
fn a_request_is_one_trace() {
    let fixture = Fixture::new();
    let (status, body, address) = ask(&fixture, "/stock/17?token=secret");
    assert_eq!((status, &*body), (StatusCode::OK, &b"12"[..]));

    let spans = fixture.spans(4);
    let of = |name| named(&spans, name);
    let (client, server) = (of("http.client.request"), of("http.server.request"));
    assert_child(client, of("order"));
    assert_child(server, client);
    assert_child(of("stock.count"), server);
    let url = format!("http://{address}/stock/17?<redacted>");
    for (span, kind, type_, component) in [
        (client, "client", "http", "tower"),
        (server, "server", "web", "hyper"),
    ] {
        assert_eq!(
            (&*span.resource, &*span.type_, span.error),
            ("GET", type_, 0)
        );
        let keys = ["span.kind", "component", "http.method", "http.status_code"];
        assert_eq!(tags(span, keys), [kind, component, "GET", "200"]);
        assert_eq!(span.tag("http.url").as_ref(), Some(&url));
    }
    let port = address.port().to_string();
    let keys = ["out.host", "network.destination.port"];
    assert_eq!(tags(client, keys), ["127.0.0.1", &port]);
}

#[test]
fn a_request_that_fails_fails_the_span_of_the_server() {
    let fixture = Fixture::new();
    let (status, ..) = ask(&fixture, "/nowhere");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let spans = fixture.spans(3);
    let server = named(&spans, "http.server.request");
    assert_eq!(server.error, 1);
    let keys = ["http.status_code", "error.type", "error.message"];
    let expected = ["503", "http.status", "503 Service Unavailable"];
    assert_eq!(tags(server, keys), expected);
    // What the client makes of a status is an option: by default only what it asked wrongly is its failure.
    let client = named(&spans, "http.client.request");
    assert_eq!(
        (client.error, tags(client, ["http.status_code"])),
        (0, ["503".to_owned()])
    );
}
