//! Parents, threads, tasks, links.

use std::sync::Arc;
use std::thread;

use datadog::FutureExt;
use tokio::runtime::Builder;
use tracing::field::Empty;
use tracing::instrument::{Instrument, WithSubscriber};
use tracing::{Span, debug_span, info_span};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, reload};

use crate::support::{Fixture, named, parent};

#[test]
fn spans_of_both_kinds_mix_in_both_directions() {
    let fixture = Fixture::new();
    let client = &fixture.client;
    let spans = fixture.spans_of(|| {
        let outer = client.trace("outer");
        let middle = info_span!("middle", step = 1).entered();
        assert_eq!(
            client.active_span().unwrap().trace_id(),
            outer.trace_id(),
            "the span of tracing is active, in the same trace"
        );
        {
            let _inner = client.trace("inner");
            let _innermost = info_span!("innermost").entered();
            assert_ne!(client.active_span().unwrap().span_id(), outer.span_id());
        }
        drop(middle);
        assert_eq!(client.active_span().unwrap().span_id(), outer.span_id());
        let _after = info_span!("after");
    });
    assert_eq!(parent(&spans, "outer"), None);
    assert_eq!(parent(&spans, "middle"), Some("outer"));
    assert_eq!(parent(&spans, "inner"), Some("middle"));
    assert_eq!(parent(&spans, "innermost"), Some("inner"));
    assert_eq!(parent(&spans, "after"), Some("outer"));
    assert_eq!(spans.len(), 5);
    assert_eq!(fixture.agent.traces().len(), 1, "one trace, one chunk");
}

#[test]
fn parents_that_are_named_beat_the_active_one() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let first = info_span!("first");
        let _active = info_span!("active").entered();
        let _root = info_span!(parent: None, "root").entered();
        let _child = info_span!(parent: &first, "child").entered();
        let _of_child = info_span!("of child");
    });
    for (name, expected) in [
        ("first", None),
        ("active", None),
        ("root", None),
        ("child", Some("first")),
        ("of child", Some("child")),
    ] {
        assert_eq!(parent(&spans, name), expected, "{name}");
    }
    assert_eq!(spans.len(), 5);
}

#[test]
fn spans_are_entered_often_everywhere_and_left_in_any_order() {
    let fixture = Fixture::new();
    let dispatch = fixture.subscriber();
    let spans = fixture.spans_of(|| {
        let shared = info_span!("shared");
        thread::scope(|scope| {
            for name in ["one", "two"] {
                let (shared, dispatch) = (shared.clone(), dispatch.clone());
                scope.spawn(move || {
                    tracing::dispatcher::with_default(&dispatch, || {
                        for _ in 0..10 {
                            let _entered = shared.enter();
                            match name {
                                "one" => drop(info_span!("one")),
                                _ => drop(info_span!("two")),
                            }
                        }
                    });
                });
            }
        });
        let other = info_span!("other");
        let first = shared.enter();
        let second = other.enter();
        drop(first);
        drop(info_span!("within other"));
        drop(second);
        drop(info_span!("alone"));
    });
    let children = |name: &str| {
        let all = spans.iter().filter(|span| span.name == name);
        let shared = named(&spans, "shared").span_id;
        all.filter(|span| span.parent_id == shared).count()
    };
    assert_eq!((children("one"), children("two")), (10, 10));
    assert_eq!(parent(&spans, "within other"), Some("other"));
    assert_eq!(parent(&spans, "alone"), None);
    assert_eq!(
        fixture.client.active_span().map(|span| span.span_id()),
        None
    );
}

#[test]
fn tasks_that_change_threads_keep_their_parents() {
    const TASKS: usize = 200;
    let fixture = Fixture::new();
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let client = fixture.client.clone();
    let work = async move {
        let root = info_span!("root");
        let tasks = (0..TASKS).map(|number| {
            let client = client.clone();
            let task = async move {
                tokio::task::yield_now().await;
                let inner = async {
                    tokio::task::yield_now().await;
                    let _guard = client.trace("guard");
                };
                inner.instrument(info_span!("inner", number)).await;
                let by_client = client.trace("by client");
                async {
                    tokio::task::yield_now().await;
                    drop(info_span!("deepest", number));
                }
                .in_span(by_client)
                .await;
            };
            let span = info_span!(parent: &root, "task", number);
            tokio::spawn(task.instrument(span).with_current_subscriber())
        });
        let tasks: Vec<_> = tasks.collect();
        drop(root);
        for task in tasks {
            task.await.unwrap();
        }
    };
    runtime.block_on(work.with_subscriber(fixture.subscriber()));
    drop(runtime);
    let spans = fixture.spans();
    let all = |name: &str| {
        spans
            .iter()
            .filter(|span| span.name == name)
            .collect::<Vec<_>>()
    };
    let root = all("root")[0];
    assert_eq!(spans.len(), 1 + 5 * TASKS);
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    for (child, expected) in [
        ("task", "root"),
        ("inner", "task"),
        ("guard", "inner"),
        ("by client", "task"),
        ("deepest", "by client"),
    ] {
        for span in all(child) {
            let parent = spans.iter().find(|other| other.span_id == span.parent_id);
            let parent = parent.unwrap();
            assert_eq!(parent.name, expected, "{child}");
            if let ("inner", Some(number)) = (child, span.metrics.get("number")) {
                assert_eq!(parent.metrics.get("number"), Some(number));
            }
        }
    }
    let health = fixture.client.health().total();
    assert_eq!(health.accepted, health.delivered);
}

#[test]
fn fields_keep_their_types_whenever_they_are_recorded() {
    let fixture = Fixture::new();
    let work = || {
        let late = info_span!(
            "work",
            text = "a",
            int = -3,
            uint = 3_u64,
            float = 2.5,
            truth = true,
            display = %"shown",
            debug = ?Some(1),
            huge = u128::MAX,
            later = Empty,
            never = Empty,
        );
        late.record("later", 7);
        late.in_scope(|| tracing::info!("within"));
        late.record("text", "b");
    };
    // The first of its trace, and a child: that one is told what it is when it ends.
    let spans = fixture.spans_of(|| {
        work();
        info_span!("parent").in_scope(work);
    });
    let spans: Vec<_> = spans.iter().filter(|span| span.name == "work").collect();
    assert_eq!(spans.len(), 2);
    for span in spans {
        for (key, value) in [
            ("text", "b"),
            ("truth", "true"),
            ("display", "shown"),
            ("debug", "Some(1)"),
            ("huge", "340282366920938463463374607431768211455"),
        ] {
            assert_eq!(span.meta.get(key).map(String::as_str), Some(value), "{key}");
        }
        for (key, value) in [("int", -3.0), ("uint", 3.0), ("float", 2.5), ("later", 7.0)] {
            assert_eq!(span.metrics.get(key), Some(&value), "{key}");
        }
        assert!(!span.meta.contains_key("never") && !span.metrics.contains_key("never"));
        assert_eq!((&*span.resource, span.error), ("work", 0));
    }
    let logs = fixture.agent.logs();
    assert_eq!(logs.len(), 2);
    for log in logs {
        assert_eq!(log.attributes["text"], "a");
        assert_eq!(log.attributes["int"], -3);
        assert_eq!(log.attributes["truth"], true);
    }
}

#[test]
fn what_a_span_says_before_it_is_entered_is_inherited() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let _root = info_span!("root").entered();
        let named = info_span!("named", service.name = Empty);
        named.record("service.name", "cart");
        let _named = named.entered();
        let _plain = info_span!("plain", step = 1).entered();
        drop(info_span!("innermost", step = 2));
    });
    for (name, service) in [
        ("root", "shop"),
        ("named", "cart"),
        ("plain", "cart"),
        ("innermost", "cart"),
    ] {
        assert_eq!(named(&spans, name).service, service, "{name}");
    }
    assert_eq!(parent(&spans, "innermost"), Some("plain"));
}

#[test]
fn layers_side_by_side_do_not_take_their_spans_for_each_other_s() {
    let fixture = Fixture::new();
    // Their registries give the same ids.
    let (one, other) = (fixture.subscriber(), fixture.subscriber());
    let spans = fixture.spans_of(|| {
        let _root = info_span!("root").entered();
        let of_one = tracing::dispatcher::with_default(&one, || info_span!("one").entered());
        let of_other = tracing::dispatcher::with_default(&other, || info_span!("other").entered());
        drop(of_one);
        drop(info_span!("within other"));
        drop(of_other);
        drop(info_span!("within root"));
    });
    for (child, expected) in [
        ("one", "root"),
        ("other", "one"),
        ("within other", "other"),
        ("within root", "root"),
    ] {
        assert_eq!(parent(&spans, child), Some(expected), "{child}");
    }
}

#[test]
fn what_a_span_follows_is_linked() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let cause = info_span!(parent: None, "cause");
        let effect = info_span!(parent: None, "effect");
        effect.follows_from(&cause);
        effect.follows_from(Span::none());
    });
    let (cause, effect) = (named(&spans, "cause"), named(&spans, "effect"));
    let links = &effect.span_links;
    assert_eq!(links.len(), 1);
    assert_eq!(
        (links[0].trace_id, links[0].span_id),
        (cause.trace_id, cause.span_id)
    );
}

#[test]
fn filters_of_the_layer_and_of_others_work_side_by_side() {
    let fixture = Fixture::new();
    let targets = Targets::new()
        .with_default(LevelFilter::DEBUG)
        .with_target("noise", LevelFilter::OFF);
    let lines = Arc::new(kept::Lines::default());
    let text = tracing_subscriber::fmt::layer()
        .with_writer({
            let lines = Arc::clone(&lines);
            move || lines.writer()
        })
        .with_filter(EnvFilter::new("info"));
    let layer = fixture.client.tracing_layer();
    let subscriber = tracing_subscriber::registry()
        .with(text)
        .with(layer.with_filter(targets));
    tracing::subscriber::with_default(subscriber, || {
        let _taken = debug_span!("taken").entered();
        let _hidden = info_span!(target: "noise", "hidden").entered();
        let _under = debug_span!("under").entered();
        tracing::info!("both");
        tracing::debug!("only a log, if that");
        tracing::error!(target: "noise", "only text");
    });
    let spans = fixture.spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(parent(&spans, "under"), Some("taken"));
    let logs = fixture.agent.logs();
    let messages: Vec<_> = logs.iter().map(|entry| &*entry.message).collect();
    assert_eq!(messages, ["both"]);
    let text = lines.text();
    assert!(text.contains("both") && text.contains("only text"));
    assert!(!text.contains("only a log"), "{text}");
}

#[test]
fn a_layer_that_is_replaced_leaves_no_span_behind() {
    let fixture = Fixture::new();
    let layer = Some(fixture.client.tracing_layer());
    let (layer, handle) = reload::Layer::new(layer);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        let open = info_span!("open", step = 1).entered();
        let again = info_span!("again").entered();
        handle.reload(Some(fixture.client.tracing_layer())).unwrap();
        assert!(fixture.client.active_span().is_none());
        drop((again, open));
        drop(info_span!("after"));
        handle.reload(None).unwrap();
        drop(info_span!("nobody's"));
    });
    let spans = fixture.spans();
    assert_eq!(spans.len(), 3);
    assert_eq!(named(&spans, "open").metrics["step"], 1.0);
    assert_eq!(parent(&spans, "again"), Some("open"));
    assert_eq!(parent(&spans, "after"), None);
}

#[test]
fn the_inner_life_of_protocols_is_left_out() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let _request = info_span!("request").entered();
        let _frame = info_span!(target: "h2::codec", "frame").entered();
        let _handler = info_span!("handler").entered();
    });
    assert_eq!(spans.len(), 2);
    assert_eq!(parent(&spans, "handler"), Some("request"));
}

#[test]
fn with_tracing_off_or_the_client_gone_nothing_breaks() {
    let agent = datadog_local_agent::LocalAgent::start().unwrap();
    let config = datadog::DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .tracing_enabled(false);
    let client = datadog::DDClient::new(config.build().unwrap()).unwrap();
    let subscriber = tracing_subscriber::registry().with(client.tracing_layer());
    tracing::subscriber::with_default(subscriber, || {
        let span = info_span!("work", number = 1).entered();
        tracing::error!("nobody listens");
        drop(client);
        drop(span);
        drop(info_span!("too late"));
        tracing::info!("too late");
    });
    assert!(agent.spans().is_empty());
}

#[test]
fn any_number_of_spans_may_be_open() {
    const OPEN: usize = 3_000;
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let root = info_span!("root");
        let open: Vec<_> = (0..OPEN)
            .map(|number| info_span!(parent: &root, "open", number, later = Empty))
            .collect();
        for (number, span) in open.iter().enumerate() {
            span.record("later", number);
            span.in_scope(|| drop(info_span!("inner", number)));
        }
    });
    assert_eq!(spans.len(), 1 + 2 * OPEN);
    let root = named(&spans, "root");
    let mut ids = vec![0; OPEN];
    for span in spans.iter().filter(|span| span.name == "open") {
        assert_eq!(span.parent_id, root.span_id);
        assert_eq!(span.metrics["later"], span.metrics["number"]);
        ids[span.metrics["number"] as usize] = span.span_id;
    }
    for span in spans.iter().filter(|span| span.name == "inner") {
        assert_eq!(span.parent_id, ids[span.metrics["number"] as usize]);
    }
}

/// A writer that keeps what it gets.
mod kept {
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(super) fn writer(&self) -> Self {
            self.clone()
        }

        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
