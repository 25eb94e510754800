//! The layer for servers, around routes of axum.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use datadog::DDClient;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::fixture::{Fixture, LIMIT, assert_child, named, runtime, serve, tags};

fn shop(client: &DDClient) -> Router {
    async fn cart(State(client): State<DDClient>) -> String {
        client.info("looked into the cart");
        client.trace("cart.load").span_id().to_string()
    }
    async fn broken() -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }
    async fn report(State(client): State<DDClient>) -> Body {
        Body::from_stream(pages(client))
    }
    Router::new()
        .route("/cart/{id}", get(cart))
        .route("/broken", get(broken))
        .route("/report", get(report))
        .layer(client.axum_layer().request_metrics(client))
        .with_state(client.clone())
}

/// Pages that are made while the body is sent, each in a span.
fn pages(client: DDClient) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(1..=3).map(move |page| {
        let _span = client.trace("report.page");
        Ok(Bytes::from(format!("page {page}\n")))
    })
}

#[test]
fn a_request_goes_on_with_the_trace_of_its_caller() {
    let fixture = Fixture::with(|config| {
        config
            .client_ip_enabled(true)
            .header_tags(["X-Buyer:buyer"])
    });
    let runtime = runtime();
    let address = serve(&runtime, shop(&fixture.client));
    let url = format!("http://{address}/cart/17?token=secret");
    let mut response = ureq::get(url)
        .header("x-datadog-trace-id", "1234")
        .header("x-datadog-parent-id", "5678")
        .header("x-datadog-sampling-priority", "1")
        .header("user-agent", "test/1")
        .header("x-buyer", "b-1")
        .header("x-forwarded-for", "203.0.113.7")
        .call()
        .unwrap();
    let child: u64 = response
        .body_mut()
        .read_to_string()
        .unwrap()
        .parse()
        .unwrap();

    let spans = fixture.spans(2);
    let request = named(&spans, "http.server.request");
    assert_eq!((request.trace_id, request.parent_id), (1234, 5678));
    assert_eq!(
        (&*request.resource, &*request.type_, &*request.service),
        ("GET /cart/{id}", "web", "shop")
    );
    let keys = [
        "http.method",
        "http.route",
        "http.status_code",
        "http.useragent",
        "span.kind",
    ];
    let expected = ["GET", "/cart/{id}", "200", "test/1", "server"];
    assert_eq!(tags(request, keys), expected);
    let keys = ["component", "buyer", "http.client_ip", "network.client.ip"];
    let expected = ["axum", "b-1", "203.0.113.7", "127.0.0.1"];
    assert_eq!(tags(request, keys), expected);
    let shown = format!("http://{address}/cart/17?<redacted>");
    assert_eq!(request.tag("http.url"), Some(shown));
    assert_eq!(request.error, 0);

    let loaded = named(&spans, "cart.load");
    assert_eq!(loaded.span_id, child);
    assert_child(loaded, request);

    let log = &fixture.agent.logs()[0];
    assert_eq!(log.message, "looked into the cart");
    assert_eq!(
        (log.trace_id(), log.span_id()),
        (Some(1234), Some(request.span_id))
    );
}

#[test]
fn requests_are_measured_and_those_that_fail_are_errors() {
    let fixture = Fixture::new();
    let runtime = runtime();
    let address = serve(&runtime, shop(&fixture.client));
    for (path, status) in [("broken", 503), ("nowhere", 404)] {
        let error = ureq::get(format!("http://{address}/{path}"))
            .call()
            .unwrap_err();
        assert!(matches!(error, ureq::Error::StatusCode(code) if code == status));
    }
    let spans = fixture.spans(2);
    let found = |resource: &str| spans.iter().find(|span| span.resource == resource).unwrap();
    let broken = found("GET /broken");
    assert_eq!((broken.error, broken.parent_id), (1, 0));
    let keys = ["http.status_code", "error.type", "error.message"];
    assert_eq!(
        tags(broken, keys),
        ["503", "http.status", "503 Service Unavailable"]
    );
    let nowhere = found("GET");
    assert_eq!(nowhere.error, 0);
    assert_eq!(
        tags(nowhere, ["http.status_code", "http.route"]),
        ["404", "-"]
    );

    let name = "http.server.request.duration";
    fixture
        .agent
        .wait_for(LIMIT, |got| got.metric_values(name).len() == 2)
        .unwrap();
    let metrics = fixture.agent.metrics_named(name);
    let with = |tag: &str| metrics.iter().find(|metric| metric.has_tag(tag)).unwrap();
    let broken = with("http.response.status_code:503");
    for tag in [
        "http.request.method:GET",
        "http.route:/broken",
        "service:shop",
    ] {
        assert!(broken.has_tag(tag), "{tag} in {broken:?}");
    }
    let nowhere = with("http.response.status_code:404");
    assert!(!nowhere.tags.iter().any(|tag| tag.starts_with("http.route")));
}

#[test]
fn a_request_lasts_until_the_end_of_its_body() {
    let fixture = Fixture::new();
    let runtime = runtime();
    let address = serve(&runtime, shop(&fixture.client));
    let mut response = ureq::get(format!("http://{address}/report"))
        .call()
        .unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    assert_eq!(body, "page 1\npage 2\npage 3\n");

    let spans = fixture.spans(4);
    let request = named(&spans, "http.server.request");
    for page in spans.iter().filter(|span| span.name == "report.page") {
        assert_child(page, request);
        assert!(page.start_ns >= request.start_ns);
        let end = |span: &datadog_local_agent::Span| span.start_ns + span.duration_ns;
        assert!(end(page) <= end(request), "{page:?} outlives {request:?}");
    }
}

#[test]
fn a_request_that_is_given_up_ends_without_a_status() {
    let fixture = Fixture::new();
    let started = Arc::new(Notify::new());
    let handler = {
        let started = Arc::clone(&started);
        move || async move {
            started.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let router = Router::new()
        .route("/slow", get(handler))
        .layer(fixture.client.axum_layer());
    runtime().block_on(async {
        let request = Request::get("/slow").body(Body::empty()).unwrap();
        let answer = tokio::spawn(router.oneshot(request));
        started.notified().await;
        answer.abort();
        assert!(answer.await.unwrap_err().is_cancelled());
    });
    let spans = fixture.spans(1);
    assert_eq!((&*spans[0].resource, spans[0].error), ("GET /slow", 0));
    assert_eq!(tags(&spans[0], ["http.status_code"]), ["-"]);
}

#[test]
fn a_panic_fails_the_request() {
    async fn panics() {
        tokio::task::yield_now().await;
        panic!("no more");
    }
    let fixture = Fixture::new();
    let router = Router::new()
        .route("/panics", get(panics))
        .layer(fixture.client.axum_layer());
    runtime().block_on(async {
        let request = Request::get("/panics").body(Body::empty()).unwrap();
        let answer = tokio::spawn(router.oneshot(request)).await;
        assert!(answer.unwrap_err().is_panic());
    });
    let spans = fixture.spans(1);
    assert_eq!(
        (spans[0].error, spans[0].tag("error.type")),
        (1, Some("panic".to_owned()))
    );
}

#[test]
fn without_tracing_requests_are_served_and_measured() {
    let fixture = Fixture::with(|config| config.tracing_enabled(false));
    let runtime = runtime();
    let address = serve(&runtime, shop(&fixture.client));
    let mut response = ureq::get(format!("http://{address}/cart/1"))
        .call()
        .unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "0");
    fixture.client.flush(LIMIT);
    let name = "http.server.request.duration";
    fixture
        .agent
        .wait_for(LIMIT, |got| got.metric_values(name).len() == 1)
        .unwrap();
    assert!(fixture.agent.spans().is_empty());
}
