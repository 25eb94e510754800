//! What is within spans that are not sent: its parents are those that are.

use std::convert::Infallible;
use std::thread;

use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tracing::instrument::{Instrument, WithSubscriber};
use tracing::{debug_span, error, info, info_span, trace_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{Layer as _, layer::SubscriberExt};

use crate::support::{Fixture, named, parent};

/// Runs `work` on another thread, with the subscriber of this one.
fn elsewhere(work: impl FnOnce() + Send) {
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    thread::scope(|scope| {
        scope.spawn(|| tracing::dispatcher::with_default(&dispatch, work));
    });
}

#[test]
fn spans_within_one_that_is_left_out_keep_their_parent_on_other_threads() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let request = info_span!("request").entered();
        let frame = info_span!(target: "h2::codec", "frame");
        elsewhere(|| {
            let _frame = frame.enter();
            let _work = info_span!("work").entered();
            drop(info_span!("step"));
        });
        drop(request);
        drop(info_span!(parent: &frame, "later"));
        drop(info_span!("alone"));
    });
    for (child, expected) in [
        ("work", Some("request")),
        ("step", Some("work")),
        ("later", Some("request")),
        ("alone", None),
    ] {
        assert_eq!(parent(&spans, child), expected, "{child}");
    }
}

#[test]
fn spans_within_one_that_the_layer_s_filter_refuses_keep_their_parent() {
    let fixture = Fixture::new();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
    let layer = fixture.client.tracing_layer();
    let subscriber = tracing_subscriber::registry()
        .with(lines)
        .with(layer.with_filter(LevelFilter::INFO));
    tracing::subscriber::with_default(subscriber, || {
        let _request = info_span!("request").entered();
        let refused = debug_span!("refused");
        assert!(!refused.is_disabled());
        elsewhere(|| {
            drop(info_span!(parent: &refused, "named"));
            let _refused = refused.enter();
            drop(info_span!("work"));
            let _own = info_span!(parent: None, "own").entered();
            drop(info_span!(parent: &refused, "back"));
            drop(info_span!("within own"));
        });
    });
    let spans = fixture.spans();
    for (child, expected) in [
        ("named", Some("request")),
        ("work", Some("request")),
        ("own", None),
        ("back", Some("request")),
        ("within own", Some("own")),
    ] {
        assert_eq!(parent(&spans, child), expected, "{child}");
    }
}

#[test]
fn events_within_a_span_that_is_left_out_are_for_the_one_above() {
    let fixture = Fixture::with(&[("DD_TRACE_TOWER_HTTP_ENABLED", "false")]);
    let dispatch = fixture.subscriber_with(|layer| layer.span_events(true));
    tracing::dispatcher::with_default(&dispatch, || {
        let _load = info_span!("load").entered();
        let _connect = trace_span!(target: "sea_orm::database", "connect").entered();
        error!("boom");
        // What a library says is about its own span, which is not sent.
        let _job = info_span!("job").entered();
        let _request = info_span!(target: "tower_http::trace::make_span", "request").entered();
        error!(target: "tower_http::trace::on_failure", "response failed");
        info!(target: "tower_http::trace::on_response", status = 500);
    });
    let spans = fixture.spans();
    let load = named(&spans, "load");
    assert_eq!((load.error, &*load.meta["error.message"]), (1, "boom"));
    assert!(load.meta["events"].contains("boom"));
    let job = named(&spans, "job");
    assert_eq!((job.error, job.meta.get("http.status_code")), (0, None));
    assert!(!job.meta.contains_key("events"));
    assert_eq!(spans.len(), 2);
}

#[test]
fn what_is_within_a_span_that_is_left_out_is_within_the_client_s_that_it_started_in() {
    let fixture = Fixture::new();
    let client = &fixture.client;
    let mut request_id = 0;
    let mut other_id = 0;
    let spans = fixture.spans_of(|| {
        let request = client.trace("request");
        request_id = request.span_id();
        let left_out = trace_span!(target: "sea_orm::database", "connect");
        drop(info_span!(parent: &left_out, "named"));
        let root = trace_span!(target: "tokio::task", parent: None, "runtime.spawn");
        let below = trace_span!(target: "h2::codec", parent: &left_out, "frame");
        elsewhere(|| {
            drop(info_span!(parent: &below, "of below"));
            {
                let _root = root.enter();
                drop(info_span!("of none"));
            }
            let (first, second) = (left_out.enter(), left_out.enter());
            drop(client.trace("by client"));
            drop(second);
            drop(info_span!("work"));
            // Spans of its own trace know better what is within them.
            let by_client = client.trace("outer");
            below.in_scope(|| drop(info_span!("inner")));
            drop(by_client);
            info!("within");
            drop(first);
            assert!(client.active_span().is_none());
            info!(parent: &below, "named");
            assert!(client.active_span().is_none());
            let other = client.trace("other");
            other_id = other.span_id();
            below.in_scope(|| drop(info_span!("beside other")));
            info!("within other");
            drop(info_span!("of other"));
        });
    });
    for (child, expected) in [
        ("named", Some("request")),
        ("of below", Some("request")),
        ("of none", None),
        ("by client", Some("request")),
        ("work", Some("request")),
        ("outer", Some("request")),
        ("inner", Some("outer")),
        ("beside other", Some("request")),
        ("of other", Some("other")),
    ] {
        assert_eq!(parent(&spans, child), expected, "{child}");
    }
    let logs = fixture.agent.logs();
    let mut ids: Vec<_> = logs
        .iter()
        .map(|log| (&*log.message, log.span_id()))
        .collect();
    ids.sort_unstable();
    let expected = [
        ("named", request_id),
        ("within", request_id),
        ("within other", other_id),
    ];
    assert_eq!(ids, expected.map(|(message, id)| (message, Some(id))));
}

#[test]
fn the_span_that_an_event_names_may_be_left_out() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let request = info_span!("request").entered();
        let frame = info_span!(target: "h2::codec", "frame");
        let _step = info_span!("step").entered();
        info!(parent: &frame, "named");
        drop(request);
    });
    let log = &fixture.agent.logs()[0];
    assert_eq!(log.span_id(), Some(named(&spans, "request").span_id));
    assert_eq!(parent(&spans, "step"), Some("request"));
}

#[test]
fn spans_that_are_left_out_are_left_in_any_order() {
    let fixture = Fixture::new();
    let client = &fixture.client;
    let spans = fixture.spans_of(|| {
        let request = info_span!("request").entered();
        let (one, other) = (
            info_span!(target: "h2::codec", "one"),
            info_span!(target: "h2::codec", "other"),
        );
        let request = request.exit();
        elsewhere(|| {
            // Below the span that it stands for, and left before it.
            let first = one.enter();
            let of_request = request.enter();
            let second = other.enter();
            drop(first);
            drop(info_span!("step"));
            drop(of_request);
            drop(second);
            assert!(client.active_span().is_none());
            // Above a span that ends before it.
            let by_client = client.trace("by client");
            let third = info_span!(target: "h2::codec", "third").entered();
            by_client.finish();
            assert!(client.active_span().is_none());
            drop(third);
        });
    });
    assert_eq!(parent(&spans, "step"), Some("request"));
    assert_eq!(parent(&spans, "by client"), None);
    assert_eq!(spans.len(), 3);
}

#[test]
fn tasks_that_a_handler_starts_belong_to_the_request_of_the_client_s_layer() {
    let fixture = Fixture::new();
    let client = fixture.client.clone();
    let handler = service_fn(move |_: Request<String>| {
        let client = client.clone();
        async move {
            let job = async move {
                drop(client.trace("by client"));
                drop(info_span!("work"));
            };
            let job = tokio::spawn(job.in_current_span().with_current_subscriber());
            job.await.unwrap();
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let layer = fixture.client.tower_server_layer();
    let service = layer.layer(TraceLayer::new_for_http().layer(handler));
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let answer = async {
        let request = Request::get("/cart/7").body(String::new()).unwrap();
        drop(service.oneshot(request).await);
    };
    runtime.block_on(answer.with_subscriber(fixture.subscriber()));
    drop(runtime);
    let spans = fixture.spans();
    assert_eq!(spans.len(), 3);
    for child in ["by client", "work"] {
        assert_eq!(parent(&spans, child), Some("http.server.request"));
    }
}
