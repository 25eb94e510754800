//! The ids of samples are those of the spans that arrived, whatever runs the futures.

use std::collections::HashSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use datadog::{DDClient, FutureExt};
use datadog_local_agent::LocalAgent;

use crate::executor::{self, give_way};
use crate::support::{self, LIMIT, VISIBLE, root_of, spin};

const TASKS: usize = 6;

#[inline(never)]
fn red_work() {
    spin(VISIBLE / 8);
}

#[inline(never)]
fn blue_work() {
    spin(VISIBLE / 8);
}

#[inline(never)]
fn inner_work() {
    spin(VISIBLE / 8);
}

#[inline(never)]
fn work_without_a_span() {
    spin(VISIBLE / 8);
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks that are interleaved on every thread: each works in a span of its colour and in a child, and gives way in between.
fn tasks(client: &DDClient) -> Vec<Work> {
    (0..TASKS)
        .map(|at| {
            let client = client.clone();
            let (name, work) = match at % 2 {
                0 => ("red", red_work as fn()),
                _ => ("blue", blue_work as fn()),
            };
            let task = async move {
                let span = client.trace(name).detach();
                async {
                    for _ in 0..6 {
                        work();
                        give_way().await;
                        work();
                        let child = client.trace("inner").detach();
                        async {
                            inner_work();
                            give_way().await;
                            inner_work();
                        }
                        .in_span(child)
                        .await;
                    }
                }
                .in_span(span)
                .await;
                work_without_a_span();
            };
            Box::pin(task) as Work
        })
        .collect()
}

/// What is in a function is labelled with a span of the name that runs it.
fn labels_are_those_of_the_spans(run: impl FnOnce(Vec<Work>)) {
    let agent = LocalAgent::start().unwrap();
    let client = support::profiled(&agent, |config| config);
    run(tasks(&client));
    client.profiling_stop();
    assert!(client.flush(LIMIT).complete);

    let spans = support::spans(&agent);
    assert_eq!(spans.len(), TASKS * 7);
    let samples = support::samples(&agent);
    let mut labelled = HashSet::new();
    for (function, name) in [
        ("red_work", "red"),
        ("blue_work", "blue"),
        ("inner_work", "inner"),
    ] {
        let mut count = 0;
        for sample in samples.iter().filter(|sample| sample.is_in(function)) {
            let id = sample.number("span id").unwrap();
            assert_eq!(spans[&id].name, name, "{sample:?}");
            let root = sample.number("local root span id").unwrap();
            assert_eq!(root, root_of(&spans, id), "{sample:?}");
            labelled.insert(id);
            count += sample.count;
        }
        assert!(count >= 10, "{count} samples of {function}");
    }
    assert!(labelled.len() > TASKS, "{} spans", labelled.len());
    for sample in samples
        .iter()
        .filter(|sample| sample.is_in("work_without_a_span"))
    {
        assert_eq!(sample.number("span id"), None, "{sample:?}");
        assert_eq!(sample.number("local root span id"), None, "{sample:?}");
    }
}

#[test]
fn labels_are_those_of_the_spans_on_tokio() {
    let _turn = support::turn();
    labels_are_those_of_the_spans(|tasks| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .build()
            .unwrap();
        runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn labels_are_those_of_the_spans_on_an_executor_of_ones_own() {
    let _turn = support::turn();
    labels_are_those_of_the_spans(|tasks| executor::run(3, tasks));
}

fn fail() {
    panic!("on purpose");
}

#[test]
fn panics_carry_the_span_that_they_happened_in() {
    let _turn = support::turn();
    let agent = LocalAgent::start().unwrap();
    let client = support::profiled(&agent, |config| config);
    let work = || client.traced("request", |_| client.traced("broken", |_| fail()));
    let caught = std::panic::catch_unwind(AssertUnwindSafe(work));
    assert!(caught.is_err());
    client.profiling_stop();
    assert!(client.flush(LIMIT).complete);
    let spans = support::spans(&agent);
    let samples = support::samples(&agent);
    let mut panics = samples
        .iter()
        .filter(|sample| sample.text("exception type").is_some());
    let panic = panics.next().unwrap();
    let id = panic.number("span id").unwrap();
    assert_eq!(spans[&id].name, "broken");
    assert_eq!(
        panic.number("local root span id"),
        Some(root_of(&spans, id))
    );
    assert_eq!(panic.text("trace endpoint"), Some("request"));
    assert!(panics.next().is_none());
}

#[test]
fn samples_can_be_without_ids() {
    let _turn = support::turn();
    let agent = LocalAgent::start().unwrap();
    let client = support::profiled(&agent, |config| {
        config.profiling_code_hotspots_enabled(false)
    });
    client.traced("red", |_| (0..16).for_each(|_| red_work()));
    assert!(client.flush(LIMIT).complete);
    let samples = support::samples(&agent);
    let in_span: Vec<_> = samples
        .iter()
        .filter(|sample| sample.is_in("red_work"))
        .collect();
    assert!(!in_span.is_empty());
    for sample in in_span {
        assert_eq!(sample.number("span id"), None);
        assert_eq!(sample.number("local root span id"), None);
        assert_eq!(sample.text("trace endpoint"), Some("red"));
    }
}
