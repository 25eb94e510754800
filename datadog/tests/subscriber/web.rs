//! Requests that web servers tell: tower-http as it is, others as they were read in their sources.

use std::convert::Infallible;
use std::future::{Ready, ready};

use datadog_local_agent::Span;
use http::{Request, Response};
use tower::util::ServiceFn;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tracing::field::Empty;
use tracing::instrument::WithSubscriber;
use tracing::{Level, event, info_span};

use crate::support::{Fixture, parent};

#[test]
fn tower_http_s_requests_are_requests() {
    let fixture = Fixture::new();
    let client = fixture.client.clone();
    let service = service_fn(move |request: Request<String>| {
        let handler = client.trace("handler");
        let status = if request.uri().path().ends_with("/7") {
            200
        } else {
            500
        };
        drop(handler);
        async move {
            let response = Response::builder().status(status).body(String::new());
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let service = TraceLayer::new_for_http().layer(service);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    for path in ["/cart/7?token=secret", "/cart/8"] {
        let request = Request::get(path).body(String::new()).unwrap();
        let answer = service.clone().oneshot(request);
        runtime
            .block_on(answer.with_subscriber(fixture.subscriber()))
            .unwrap();
    }
    drop(runtime);
    let spans = fixture.spans();
    let requests: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "http.server.request")
        .collect();
    assert_eq!(requests.len(), 2);
    for (request, (status, error, url)) in requests
        .iter()
        .zip([("200", 0, "/cart/7?<redacted>"), ("500", 1, "/cart/8")])
    {
        assert_eq!(
            (&*request.resource, &*request.type_),
            ("GET /cart/?", "web")
        );
        assert_eq!(request.meta["http.status_code"], status);
        assert_eq!(request.meta["http.url"], url);
        assert_eq!(request.meta["component"], "tower-http");
        assert_eq!(request.error, error);
    }
    assert_eq!(parent(&spans, "handler"), Some("http.server.request"));
}

/// The spans of a request that is answered with this status by a service that `wrap` puts layers around.
fn request_to<S>(fixture: &Fixture, status: u16, wrap: impl FnOnce(Handler) -> S) -> Vec<Span>
where
    S: Service<Request<String>, Error = Infallible>,
{
    let handler: Handler = service_fn(Box::new(move |_| {
        let response = Response::builder().status(status).body(String::new());
        ready(Ok(response.unwrap()))
    }));
    let service = wrap(handler);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer = async {
        let request = Request::get("/cart/7").body(String::new()).unwrap();
        // The body is dropped within, and the span of the request with it.
        drop(service.oneshot(request).await);
    };
    runtime.block_on(answer.with_subscriber(fixture.subscriber()));
    fixture.spans()
}

type Handler =
    ServiceFn<Box<dyn FnMut(Request<String>) -> Ready<Result<Response<String>, Infallible>>>>;

#[test]
fn tower_http_s_spans_are_left_out_where_the_client_s_layer_tells_the_same() {
    let fixture = Fixture::new();
    let layer = fixture.client.tower_server_layer();
    let inside = request_to(&fixture, 200, |handler| {
        TraceLayer::new_for_http().layer(layer.layer(handler))
    });
    let fixture = Fixture::new();
    let layer = fixture.client.tower_server_layer();
    let outside = request_to(&fixture, 200, |handler| {
        layer.layer(TraceLayer::new_for_http().layer(handler))
    });
    for spans in [inside, outside] {
        let [span] = spans.try_into().unwrap();
        let tags = ["component", "http.status_code"].map(|key| &*span.meta[key]);
        assert_eq!(
            (&*span.name, tags),
            ("http.server.request", ["tower", "200"])
        );
    }
}

#[test]
fn a_layer_within_another_is_within_its_span() {
    let fixture = Fixture::new();
    let layer = || {
        fixture
            .client
            .tower_server_layer()
            .route(|_| Some("/cart/{id}"))
    };
    let outer = fixture.client.tower_server_layer();
    let service = outer.layer(layer().layer(service_fn(|_: Request<String>| {
        ready(Ok::<_, Infallible>(Response::new(String::new())))
    })));
    let request = Request::get("/cart/17")
        .header("x-datadog-trace-id", "1234")
        .header("x-datadog-parent-id", "5678")
        .body(String::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    drop(runtime.block_on(service.oneshot(request.unwrap())).unwrap());
    let spans = fixture.spans();
    let of = |resource: &str| spans.iter().find(|span| span.resource == resource).unwrap();
    let (outer, inner) = (of("GET"), of("GET /cart/{id}"));
    assert_eq!((outer.trace_id, outer.parent_id), (1234, 5678));
    assert_eq!((inner.trace_id, inner.parent_id), (1234, outer.span_id));
}

#[test]
fn tower_http_tells_requests_where_tower_is_off() {
    let fixture = Fixture::with(&[("DD_TRACE_TOWER_ENABLED", "false")]);
    let layer = fixture.client.tower_server_layer();
    let spans = request_to(&fixture, 200, |handler| {
        layer.layer(TraceLayer::new_for_http().layer(handler))
    });
    let [span] = spans.try_into().unwrap();
    assert_eq!(
        (&*span.name, &*span.meta["component"]),
        ("http.server.request", "tower-http")
    );
}

#[test]
fn requests_that_opentelemetry_s_layer_for_axum_tells_are_told_once() {
    let fixture = Fixture::new();
    let spans = || {
        // axum-tracing-opentelemetry 0.42 by tracing-opentelemetry-instrumentation-sdk: `src/http/http_server.rs`, `grpc.rs`.
        drop(
            info_span!(target: "otel::tracing", "HTTP request", http.request.method = "GET", otel.kind = "Server"),
        );
        drop(
            info_span!(target: "otel::tracing", "GRPC request", rpc.system = "grpc", otel.kind = "Client"),
        );
    };
    let told = fixture.spans_of(spans).len();
    let _layer = fixture.client.tower_server_layer();
    let with_ours = fixture.spans_of(spans).len() - told;
    assert_eq!((told, with_ours), (2, 1));
}

#[test]
fn options_decide_which_status_is_a_failure_whatever_tower_http_calls_one() {
    for (status, error) in [(503, 0), (500, 1), (404, 0)] {
        let fixture = Fixture::with(&[("DD_TRACE_HTTP_SERVER_ERROR_STATUSES", "500")]);
        let spans = request_to(&fixture, status, |handler| {
            TraceLayer::new_for_http().layer(handler)
        });
        let [span] = spans.try_into().unwrap();
        assert_eq!(
            (span.error, &*span.meta["http.status_code"]),
            (error, &*status.to_string())
        );
    }
}

#[test]
fn spans_of_the_program_s_own_get_the_status_by_datadog_s_name() {
    let fixture = Fixture::new();
    let layer = TraceLayer::new_for_http().make_span_with(|_: &Request<String>| info_span!("own"));
    let spans = request_to(&fixture, 503, |handler| layer.layer(handler));
    let [span] = spans.try_into().unwrap();
    assert_eq!((&*span.name, span.error), ("own", 1));
    assert_eq!(span.meta["http.status_code"], "503");
    let other = "http.response.status_code";
    assert!(
        !span.meta.contains_key(other) && !span.metrics.contains_key(other),
        "{span:?}"
    );
}

#[test]
fn poem_and_warp_tell_the_status_when_they_have_answered() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        // poem 3.1: `src/middleware/tracing_mw.rs`.
        for (path, status) in [
            ("/found", "200 OK"),
            ("/broken", "500 Internal Server Error"),
        ] {
            let request = info_span!(
                target: "poem::middleware::tracing_mw",
                "request",
                remote_addr = %"192.0.2.1",
                version = ?http::Version::HTTP_11,
                method = %"GET",
                uri = %path,
            );
            request.in_scope(|| {
                event!(
                    target: "poem::middleware::tracing_mw",
                    Level::INFO,
                    status = %status,
                    duration = ?std::time::Duration::from_millis(1),
                    "response"
                );
            });
        }
        // warp 0.4: `src/filters/trace.rs`.
        let request = info_span!(
            target: "warp::filters::trace",
            "request",
            remote.addr = Empty,
            method = %"GET",
            path = "/missing",
            version = ?http::Version::HTTP_11,
            referer = Empty,
        );
        request.record("remote.addr", tracing::field::display("192.0.2.1:4711"));
        let _request = request.entered();
        event!(target: "warp::filters::trace", Level::INFO, "processing request");
        event!(
            target: "warp::filters::trace",
            Level::WARN,
            status = 404_u16,
            error = ?Some("not found"),
            "unable to serve request (client error)"
        );
    });
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            let tags = ["component", "http.url", "http.status_code"];
            assert_eq!(span.name, "http.server.request");
            assert!(!span.meta.contains_key("http.client_ip"));
            (tags.map(|key| &*span.meta[key]), span.error)
        })
        .collect();
    let expected = [
        (["poem", "/found", "200"], 0),
        (["poem", "/broken", "500"], 1),
        (["warp", "/missing", "404"], 0),
    ];
    assert_eq!(told, expected);
}
