//! What can be said about a span, as the agent sees it.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{LIMIT, config, named, start, wait_for_info};
use datadog_local_agent::{Attribute, LocalAgent};
use datadog_trace::{EventValue, SpanContext, SpanEvent, SpanKind, SpanLink};

#[test]
fn known_facts_and_tags_are_where_datadog_looks_for_them() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    tracer.traced("request", |span| {
        span.set_kind(SpanKind::Server)
            .set_measured()
            .set_metric("queue.depth", 1.5)
            .set_tag("owned".to_owned(), "value".to_owned())
            .set_tag("resource.name", "GET /")
            .set_tag("span.type", "web")
            .set_tag("service.name", "front");
        tracer.traced("child", |_| ());
    });
    tracer.traced("same service", |_| {
        tracer.traced("not top-level", |span| {
            span.set_service("shop");
        });
    });
    tracer.traced("", |span| {
        span.set_resource("").set_service("");
    });
    assert_eq!(tracer.flush(LIMIT).delivered, 5, "{:?}", agent.refusals());
    let spans = agent.spans();
    let span = named(&spans, "request");
    assert_eq!(
        (&*span.resource, &*span.type_, &*span.service),
        ("GET /", "web", "front")
    );
    assert_eq!(span.meta["span.kind"], "server");
    assert_eq!(span.meta["owned"], "value");
    assert_eq!(span.meta["_dd.base_service"], "shop");
    assert_eq!(span.metrics["_dd.measured"], 1.0);
    assert_eq!(span.metrics["queue.depth"], 1.5);
    assert!(!span.meta.contains_key("resource.name"));
    let child = named(&spans, "child");
    assert_eq!(child.service, "front");
    assert!(!child.metrics.contains_key("_dd.top_level"));
    let same = named(&spans, "not top-level");
    assert!(!same.metrics.contains_key("_dd.top_level"));
    let nameless = named(&spans, "unnamed_operation");
    assert_eq!(
        (&*nameless.resource, &*nameless.service),
        ("unnamed_operation", "shop")
    );
}

#[test]
fn tags_that_other_languages_know_mean_the_same() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    for (name, value) in [("no", false), ("yes", true)] {
        let mut span = tracer.trace(name);
        span.set_tag("error", !value).set_tag("error", value);
        span.set_tag("http.status_code", 503);
    }
    tracer.trace("text").set_tag("error", "boom");
    assert_eq!(tracer.flush(LIMIT).delivered, 3);
    let spans = agent.spans();
    for (name, error, text) in [("no", 0, None), ("yes", 1, None), ("text", 1, Some("boom"))] {
        let span = named(&spans, name);
        let tag = span.meta.get("error").map(String::as_str);
        assert_eq!((span.error, tag), (error, text), "{name}");
    }
    let span = named(&spans, "yes");
    assert_eq!(span.meta["http.status_code"], "503");
    assert!(!span.metrics.contains_key("http.status_code"));
}

#[test]
fn a_span_is_top_level_while_its_service_is_not_its_parents() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    {
        let _root = tracer.trace("root");
        for (name, services) in [("away", &["bank"][..]), ("back", &["bank", "shop"])] {
            let mut span = tracer.trace(name);
            for service in services {
                span.set_service(service);
            }
            tracer.trace(format!("{name}.child")).finish();
        }
    }
    assert_eq!(tracer.flush(LIMIT).delivered, 5);
    let spans = agent.spans();
    for (name, is_top_level) in [
        ("root", true),
        ("away", true),
        ("away.child", false),
        ("back", false),
        ("back.child", false),
    ] {
        let marked = named(&spans, name).metrics.contains_key("_dd.top_level");
        assert_eq!(marked, is_top_level, "{name}");
    }
}

#[test]
fn times_may_be_set() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let mut both = tracer.trace("both");
    both.set_start_time(at(1_000));
    both.finish_at(at(1_005));
    let mut first = tracer.trace("start alone");
    first.set_start_time(SystemTime::now() - Duration::from_secs(60));
    first.finish();
    tracer
        .trace("end alone")
        .finish_at(SystemTime::now() + Duration::from_secs(60));
    let mut backwards = tracer.trace("backwards");
    backwards.set_start_time(at(2_000));
    backwards.finish_at(at(1_000));
    // Milliseconds taken for seconds.
    let far = at(1_700_000_000_000);
    tracer.trace("far end").finish_at(far);
    tracer.trace("far start").set_start_time(far);
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let times = |name| {
        let span = named(&spans, name);
        (span.start_ns, span.duration_ns)
    };
    assert_eq!(times("both"), (1_000_000_000_000, 5_000_000_000));
    for name in ["start alone", "end alone"] {
        let (start, duration) = times(name);
        assert!(
            duration.abs_diff(60_000_000_000) < 5_000_000_000,
            "{name}: {duration}"
        );
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        assert!((start as u128) < now && now - (start as u128) < 70_000_000_000);
    }
    assert_eq!(times("backwards").1, 0);
    let (start, duration) = times("far end");
    assert_eq!(start + duration, i64::MAX);
    assert_eq!(times("far start"), (i64::MAX, 0));
}

#[test]
fn links_events_and_structured_values_arrive() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let other = SpanContext::from_ids(3 << 64 | 4, 5, None);
    let happened = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
    tracer.traced("span", |span| {
        span.add_link(SpanLink::to(&other).attribute("why", "batch"))
            .add_event(
                SpanEvent::new("retry")
                    .at(happened)
                    .attribute("attempt", 2)
                    .attribute("wait", 0.5)
                    .attribute("final", false)
                    .attribute("host", "a\"b")
                    .attribute("codes", vec![500, 503])
                    .attribute("nested", EventValue::List(vec![vec![1].into(), 2.into()])),
            )
            .add_event(SpanEvent::new("done".to_owned()))
            // {"a": 1}
            .set_meta_struct("details", vec![0x81, 0xa1, b'a', 0])
            .set_meta_struct("details", vec![0x81, 0xa1, b'a', 1]);
    });
    assert_eq!(tracer.flush(LIMIT).delivered, 1, "{:?}", agent.refusals());
    let span = &agent.spans()[0];
    let link = &span.span_links[0];
    assert_eq!((link.trace_id_high, link.trace_id, link.span_id), (3, 4, 5));
    assert_eq!((&*link.attributes["why"], link.flags), ("batch", 0));
    let events: serde_json::Value = serde_json::from_str(&span.meta["events"]).unwrap();
    assert_eq!(
        events[0],
        serde_json::json!({
            "name": "retry",
            "time_unix_nano": 1_700_000_000_123_456_789u64,
            "attributes": {
                "attempt": 2, "wait": 0.5, "final": false, "host": "a\"b", "codes": [500, 503], "nested": [2],
            },
        })
    );
    assert_eq!(events[1]["name"], "done");
    assert_eq!(span.meta_struct["details"], [0x81, 0xa1, b'a', 1]);
}

#[test]
fn events_go_as_they_are_to_an_agent_that_takes_them() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    // What it says takes effect with the pass that asked for it.
    wait_for_info(&agent);
    tracer.traced("span", |span| {
        span.add_event(
            SpanEvent::new("retry")
                .at(UNIX_EPOCH + Duration::from_nanos(17))
                .attribute("attempt", -2)
                .attribute("wait", 0.5)
                .attribute("final", true)
                .attribute("host", "a")
                .attribute("nested", EventValue::List(vec![vec![1].into(), 2.into()])),
        );
    });
    assert_eq!(tracer.flush(LIMIT).delivered, 1, "{:?}", agent.refusals());
    let span = &agent.spans()[0];
    assert!(!span.meta.contains_key("events"), "{span:?}");
    let event = &span.span_events[0];
    assert_eq!((&*event.name, event.time_unix_nano), ("retry", 17));
    let attributes: Vec<_> = event.attributes.iter().collect();
    let expected = [
        ("attempt", Attribute::Int(-2)),
        ("final", Attribute::Bool(true)),
        ("host", Attribute::Text("a".to_owned())),
        ("nested", Attribute::Array(vec![Attribute::Int(2)])),
        ("wait", Attribute::Double(0.5)),
    ];
    for (found, expected) in attributes.into_iter().zip(&expected) {
        assert_eq!((&**found.0, found.1), (expected.0, &expected.1));
    }
    assert_eq!(event.attributes.len(), expected.len());
}

#[test]
fn baggage_is_the_traces() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let mut root = tracer.trace("root");
    root.set_baggage("a", "1").set_baggage("a", "2");
    let child = tracer.trace("child");
    assert_eq!(child.baggage("a").as_deref(), Some("2"));
    assert_eq!(child.baggage("b"), None);
}
