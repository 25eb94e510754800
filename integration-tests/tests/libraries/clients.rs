//! Requests of reqwest, ureq and a client of tower, to a server with a layer: one trace.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use datadog_local_agent::Span;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::fixture::{Fixture, assert_child, named, runtime, serve, tags};

fn stock(fixture: &Fixture) -> Router {
    async fn left() -> &'static str {
        "12"
    }
    async fn gone() -> StatusCode {
        StatusCode::GONE
    }
    Router::new()
        .route("/stock/{item}", get(left))
        .route("/gone", get(gone))
        .layer(fixture.client.axum_layer())
}

/// `order` > `http.client.request` > `http.server.request`.
fn assert_one_trace(spans: &[Span], component: &str, port: u16) {
    let (order, server) = (named(spans, "order"), named(spans, "http.server.request"));
    let client = named(spans, "http.client.request");
    assert_child(client, order);
    assert_child(server, client);
    assert_eq!((&*client.resource, &*client.type_), ("GET", "http"));
    assert_eq!(server.resource, "GET /stock/{item}");
    let keys = [
        "component",
        "http.status_code",
        "span.kind",
        "out.host",
        "network.destination.port",
    ];
    let port = port.to_string();
    let expected = [component, "200", "client", "127.0.0.1", &port];
    assert_eq!(tags(client, keys), expected);
    let url = format!("http://127.0.0.1:{port}/stock/17?<redacted>");
    assert_eq!(client.tag("http.url"), Some(url));
}

#[test]
fn reqwest_takes_the_trace_along() {
    let fixture = Fixture::new();
    let runtime = runtime();
    let address = serve(&runtime, stock(&fixture));
    let web = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(fixture.client.reqwest_middleware())
        .build();
    let url = format!("http://{address}/stock/17?token=secret");
    let order = fixture.client.trace("order").detach();
    let ask = async { web.get(url).send().await.unwrap().text().await.unwrap() };
    let answer = runtime.block_on(datadog::FutureExt::in_span(ask, order));
    assert_eq!(answer, "12");
    assert_one_trace(&fixture.spans(3), "reqwest", address.port());
}

#[test]
fn reqwest_tells_what_failed_and_no_query() {
    let fixture = Fixture::new();
    let runtime = runtime();
    let address = serve(&runtime, stock(&fixture));
    let closed = closed_port();
    let web = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(fixture.client.reqwest_middleware())
        .build();
    runtime.block_on(async {
        let gone = web.get(format!("http://{address}/gone")).send().await;
        assert_eq!(gone.unwrap().status(), 410);
        let url = format!("http://127.0.0.1:{closed}/?token=secret");
        assert!(web.get(url).send().await.unwrap_err().is_connect());
    });
    assert_failures(&fixture);
}

#[test]
fn ureq_takes_the_trace_along() {
    let fixture = Fixture::new();
    let runtime = runtime();
    let address = serve(&runtime, stock(&fixture));
    let web: ureq::Agent = ureq::Agent::config_builder()
        .middleware(fixture.client.ureq_middleware())
        .build()
        .into();
    let order = fixture.client.trace("order");
    let mut answer = web
        .get(format!("http://{address}/stock/17?token=secret"))
        .call()
        .unwrap();
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "12");
    order.finish();
    assert_one_trace(&fixture.spans(3), "ureq", address.port());
}

#[test]
fn ureq_tells_what_failed_and_no_query() {
    let fixture = Fixture::new();
    let runtime = runtime();
    let address = serve(&runtime, stock(&fixture));
    let closed = closed_port();
    let web: ureq::Agent = ureq::Agent::config_builder()
        .middleware(fixture.client.ureq_middleware())
        .build()
        .into();
    assert!(web.get(format!("http://{address}/gone")).call().is_err());
    assert!(
        web.get(format!("http://127.0.0.1:{closed}/?token=secret"))
            .call()
            .is_err()
    );
    assert_failures(&fixture);
}

#[test]
fn ureq_tells_no_query_of_what_it_does_not_ask() {
    let fixture = Fixture::new();
    let web: ureq::Agent = ureq::Agent::config_builder()
        .https_only(true)
        .middleware(fixture.client.ureq_middleware())
        .build()
        .into();
    for url in ["http://127.0.0.1/?token=secret", "zzz://shop/?token=secret"] {
        assert!(web.get(url).call().is_err());
    }
    for span in fixture.spans(2) {
        assert_eq!(span.error, 1);
        assert!(!format!("{span:?}").contains("secret"), "{span:?}");
    }
}

/// A port that nobody listens at.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// One request that was answered with 410, and one that nobody took.
fn assert_failures(fixture: &Fixture) {
    let spans = fixture.spans(3);
    let mut clients = spans
        .iter()
        .filter(|span| span.name == "http.client.request");
    let with = |status: &str| {
        let mut clients = clients.clone();
        clients
            .find(|span| tags(span, ["http.status_code"]) == [status])
            .unwrap()
    };
    let gone = with("410");
    assert_eq!(
        (gone.error, gone.tag("error.message").unwrap()),
        (1, "410 Gone".to_owned())
    );
    let refused = with("-");
    assert_eq!(refused.error, 1);
    assert!(
        refused
            .tag("error.message")
            .is_some_and(|message| !message.is_empty())
    );
    let told = |span: &Span| span.meta.values().any(|value| value.contains("secret"));
    assert!(!clients.any(told), "{spans:#?}");
}

#[test]
fn a_client_of_tower_takes_the_trace_along() {
    let fixture = Fixture::new();
    let server = stock(&fixture);
    let client = ServiceBuilder::new()
        .layer(fixture.client.tower_client_layer())
        .service(server);
    let order = fixture.client.trace("order").detach();
    let ask = async {
        let url = "http://127.0.0.1:80/stock/17?token=secret";
        let request = Request::get(url).body(Body::empty()).unwrap();
        client.oneshot(request).await.unwrap().status()
    };
    let status = runtime().block_on(datadog::FutureExt::in_span(ask, order));
    assert_eq!(status, 200);
    assert_one_trace(&fixture.spans(3), "tower", 80);
}

#[test]
fn a_service_that_fails_fails_its_span() {
    let fixture = Fixture::new();
    let fails =
        service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>("no route to host") });
    let works =
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    let layer = fixture.client.tower_client_layer();
    runtime().block_on(async {
        let request = || Request::get("http://stock/").body(Body::empty()).unwrap();
        let failing = ServiceBuilder::new().layer(layer.clone()).service(fails);
        assert!(failing.oneshot(request()).await.is_err());
        let working = ServiceBuilder::new().layer(layer).service(works);
        assert!(working.oneshot(request()).await.is_ok());
    });
    let spans = fixture.spans(2);
    let failed: Vec<_> = spans.iter().filter(|span| span.error == 1).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(tags(failed[0], ["error.message"]), ["no route to host"]);
}
