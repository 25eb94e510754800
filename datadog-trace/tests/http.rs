//! The tags of HTTP requests and answers.

#![cfg(feature = "http")]

mod common;

use common::{LIMIT, config, named, start};
use datadog_local_agent::LocalAgent;
use datadog_trace::http::{
    Request, client_request, client_response, server_request, server_response,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

fn headers<const N: usize>(pairs: [(&'static str, &'static str); N]) -> HeaderMap {
    let pair = |(name, value)| {
        (
            http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    pairs.into_iter().map(pair).collect()
}

#[test]
fn a_server_and_a_client_say_what_was_asked_and_answered() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .client_ip_enabled(true)
            .header_tags(["X-Id", "X-Team:team.name"])
            .http_server_error_statuses([404..=404, 500..=599]),
    );
    {
        let asked = headers([
            ("host", "shop.example"),
            ("user-agent", "curl/8"),
            ("x-forwarded-for", "8.8.8.8"),
            ("x-id", "17"),
            ("x-team", "cart"),
        ]);
        let uri = Uri::from_static("/cart/17?a=1&password=x");
        let request = Request::new(&Method::GET, &uri, &asked)
            .scheme("https")
            .route("/cart/{id}");
        let mut server = tracer.trace("server");
        server_request(&mut server, &request.peer([10, 0, 0, 1].into()));

        let uri = Uri::from_static("http://me:secret@stock.example:81/items");
        let none = HeaderMap::new();
        let mut client = tracer.trace("client");
        client_request(&mut client, &Request::new(&Method::POST, &uri, &none));
        client_response(
            &mut client,
            StatusCode::NOT_FOUND,
            &headers([("x-id", "18")]),
        );
        client.finish();
        let mut other = tracer.trace("other client");
        client_response(&mut other, StatusCode::BAD_GATEWAY, &none);
        other.finish();
        server_response(&mut server, StatusCode::NOT_FOUND, &none);
    }
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let server = named(&spans, "server");
    assert_eq!(
        (&*server.resource, &*server.type_, server.error),
        ("GET /cart/{id}", "web", 1)
    );
    for (key, value) in [
        ("span.kind", "server"),
        ("http.method", "GET"),
        ("http.url", "https://shop.example/cart/17?a=1&<redacted>"),
        ("http.host", "shop.example"),
        ("http.route", "/cart/{id}"),
        ("http.useragent", "curl/8"),
        ("http.client_ip", "8.8.8.8"),
        ("network.client.ip", "10.0.0.1"),
        ("http.request.headers.x-id", "17"),
        ("team.name", "cart"),
        ("http.status_code", "404"),
        ("error.message", "404 Not Found"),
    ] {
        assert_eq!(server.meta[key], value, "{key}");
    }
    let client = named(&spans, "client");
    assert_eq!(
        (&*client.resource, &*client.type_, client.error),
        ("POST", "http", 1)
    );
    for (key, value) in [
        ("span.kind", "client"),
        ("http.url", "http://stock.example:81/items"),
        ("out.host", "stock.example"),
        ("network.destination.name", "stock.example"),
        ("http.response.headers.x-id", "18"),
    ] {
        assert_eq!(client.meta[key], value, "{key}");
    }
    assert_eq!(client.metrics["network.destination.port"], 81.0);
    assert!(!client.meta.contains_key("http.client_ip"));
    let other = named(&spans, "other client");
    assert_eq!((other.error, &*other.meta["http.status_code"]), (0, "502"));
}

#[test]
fn the_span_of_a_tracer_that_is_off_takes_nothing() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_enabled(false));
    let (uri, none) = (Uri::from_static("/"), HeaderMap::new());
    let mut span = tracer.trace("server");
    server_request(&mut span, &Request::new(&Method::GET, &uri, &none));
    server_response(&mut span, StatusCode::OK, &none);
    span.finish();
    assert_eq!(tracer.flush(LIMIT).delivered, 0);
}
