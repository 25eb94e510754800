//! Metrics that go to the intake, without an agent.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::agent::{SOON, account, config, only, start};
use datadog_config::DDConfigBuilder;
use datadog_local_agent::{Endpoint, Fault, LocalAgent, MetricKind, Via};
use datadog_metrics::{Event, Metrics};
use datadog_transport::{DropReason, Standalone};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn intake() -> LocalAgent {
    LocalAgent::builder().api_key(KEY).start().unwrap()
}

fn agentless(intake: &LocalAgent) -> DDConfigBuilder {
    config()
        .metrics_agentless(true)
        .metrics_url(intake.url())
        .hostname(r#"box "7""#)
        .api_key(KEY)
}

/// Flushes, and looks at what every test wants: nothing refused, and nothing by datagram.
fn flush(metrics: &Standalone<Metrics>, intake: &LocalAgent) {
    let report = metrics.flush(SOON);
    assert!(report.complete, "{report}");
    assert_eq!(intake.refusals().len(), 0, "{:?}", intake.refusals());
    assert_eq!(intake.datagrams(), 0);
    assert_eq!(account(metrics).buffered, 0);
}

#[test]
fn every_kind_arrives() {
    let intake = intake();
    let metrics = start(agentless(&intake).tags([("team", "a\\b\"c")]));
    metrics.count("a.count", 5, [("route", "/é")]);
    metrics.decrement("a.count", [("route", "/é")]);
    metrics.gauge("a.gauge", 3.0, ());
    metrics.gauge("a.gauge", -1.5e-9, ());
    for member in ["ann", "bob", "ann"] {
        metrics.set("a.set", member, ());
    }
    metrics.histogram("a.histogram", 7.0, ());
    metrics.distribution("a.distribution", 0.1, ());
    metrics.distribution("a.distribution", 1e20, ());
    metrics.timing("a.timing", Duration::from_micros(1500), ());
    metrics.measure_fn("a.measure", (), || ());
    flush(&metrics, &intake);
    assert_eq!(account(&metrics).delivered, 12);
    assert_eq!(intake.metrics().len(), 7);
    let check = |name, kind, via, interval, values: &[f64]| {
        let metric = only(&intake, name);
        assert_eq!((metric.kind, metric.values.as_slice()), (kind, values));
        assert_eq!((metric.via, metric.interval), (via, interval));
        assert_eq!(metric.host.as_deref(), Some(r#"box "7""#));
        assert!(metric.has_tag("service:shop") && metric.has_tag("team:a\\b\"c"));
    };
    let distribution = |name, values: &[f64]| {
        let kind = MetricKind::Distribution;
        check(name, kind, Via::DistributionPoints, None, values);
    };
    check("a.count", MetricKind::Count, Via::Series, Some(10), &[4.0]);
    check("a.gauge", MetricKind::Gauge, Via::Series, None, &[-1.5e-9]);
    check("a.set", MetricKind::Gauge, Via::Series, None, &[2.0]);
    distribution("a.histogram", &[7.0]);
    distribution("a.distribution", &[0.1, 1e20]);
    distribution("a.timing", &[1.5]);
    assert!(only(&intake, "a.count").has_tag("route:/é"));
}

#[test]
fn sums_are_exact_and_no_point_takes_the_place_of_another() {
    let intake = intake();
    let metrics = start(agentless(&intake));
    for _ in 0..5 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..100 {
                        metrics.count("hits", number, ());
                        metrics.distribution("sizes", number as f64, ());
                    }
                });
            }
        });
        flush(&metrics, &intake);
    }
    let points = intake.metrics_named("hits");
    let seconds: BTreeSet<_> = points.iter().map(|point| point.timestamp).collect();
    assert_eq!((points.len(), seconds.len()), (5, 5));
    assert_eq!(intake.metric_sum("hits"), 5.0 * 4.0 * 4950.0);
    let sizes = intake.metric_values("sizes");
    assert_eq!((sizes.len(), sizes.iter().sum::<f64>()), (2000, 99_000.0));
    assert_eq!(account(&metrics).delivered, 4000);
}

#[test]
fn a_period_of_ten_seconds_is_posted_by_itself_at_its_start() {
    let intake = intake();
    let metrics = start(agentless(&intake));
    metrics.count("hits", 3, ());
    intake
        .wait_for(SOON, |got| got.metric_sum("hits") == 3.0)
        .unwrap();
    assert_eq!(only(&intake, "hits").timestamp.unwrap() % 10, 0);
    metrics.shutdown(SOON);
    assert_eq!(account(&metrics).delivered, 1);
}

#[test]
fn requests_keep_the_limit_and_are_halved_where_that_is_not_enough() {
    let intake = intake();
    let metrics = start(agentless(&intake));
    let filler = "x".repeat(150);
    for number in 0..6000 {
        let tags = [("number", number.to_string()), ("filler", filler.clone())];
        metrics.count("hits", number, &tags[..]);
        metrics.distribution("sizes", number as f64, &tags[..]);
    }
    intake.fail_next(1, Endpoint::Series, Fault::Status(413));
    intake.fail_next(1, Endpoint::DistributionPoints, Fault::Status(413));
    let report = metrics.flush(SOON);
    assert_eq!(
        (report.delivered, report.complete),
        (12_000, true),
        "{report}"
    );
    let sum = (0..6000).sum::<i32>();
    assert_eq!(intake.metric_sum("hits"), f64::from(sum));
    assert_eq!(intake.metric_sum("sizes"), f64::from(sum));
    for path in ["/api/v2/series", "/api/v1/distribution_points"] {
        let requests = intake.requests();
        let bodies = requests.iter().filter(|request| request.path == path);
        // Three bodies of at most 512,000 bytes, and the halves of the first.
        assert!(bodies.count() >= 5, "{path}");
    }
    assert_eq!(account(&metrics).dropped.total(), 0);
}

#[test]
fn a_wrong_key_is_counted() {
    let intake = intake();
    let metrics = start(agentless(&intake).api_key("f".repeat(32)));
    metrics.count("hits", 3, ());
    metrics.distribution("sizes", 1.0, ());
    let report = metrics.flush(SOON);
    assert_eq!(report.dropped.get(DropReason::Refused(403)), 2, "{report}");
    let account = account(&metrics);
    assert_eq!((account.delivered, account.buffered), (0, 0));
    assert!(intake.metrics().is_empty());
}

#[test]
fn without_a_key_there_is_no_receiver() {
    let metrics = start(config().metrics_agentless(true));
    metrics.count("hits", 3, ());
    metrics.distribution("sizes", 1.0, ());
    metrics.count_at("late", 3, SystemTime::now(), ());
    let report = metrics.flush(SOON);
    assert_eq!(report.dropped.get(DropReason::NoReceiver), 3, "{report}");
    let account = account(&metrics);
    assert_eq!((account.requests, account.buffered), (0, 0));
}

#[test]
fn what_could_not_be_sent_arrives_once_when_the_intake_is_back() {
    let intake = intake();
    let metrics = start(agentless(&intake));
    intake.stop_listening().unwrap();
    for round in 1..=3 {
        metrics.count("hits", 10, ());
        metrics.distribution("sizes", 1.0, ());
        assert_eq!(metrics.flush(SOON).buffered, round * 2);
    }
    assert!(account(&metrics).last_error.is_some());
    intake.restart().unwrap();
    intake.fail_next(1, Endpoint::Series, Fault::Status(503));
    // No flush: the worker comes back by itself.
    intake
        .wait_for(SOON, |got| {
            got.metric_sum("hits") == 30.0 && got.metric_sum("sizes") == 3.0
        })
        .unwrap();
    metrics.shutdown(SOON);
    let account = account(&metrics);
    assert_eq!((account.delivered, account.dropped.total()), (6, 0));
    assert!(account.retries > 0);
    assert_eq!(intake.metrics_named("hits").len(), 3);
}

#[test]
fn what_the_intake_would_not_take_does_not_spoil_the_rest() {
    let intake = intake();
    let metrics = start(agentless(&intake));
    let tags: Vec<String> = (0..101).map(|number| format!("tag{number}:x")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    metrics.count("tagged", 1, &tags[..99]);
    metrics.count("tagged.too.much", 1, &tags[..]);
    let gauge = metrics.gauge_handle("endless", ());
    gauge.set(f64::MAX);
    gauge.add(f64::MAX);
    let two_hours_ago = SystemTime::now() - Duration::from_secs(7200);
    metrics.count_at("old", 1, two_hours_ago, ());
    metrics.event(&Event::new("restart", "again|T5"), ());
    for number in 0..3000 {
        metrics.distribution("many", f64::from(number), ());
    }
    flush(&metrics, &intake);
    assert_eq!(intake.metric_sum("tagged"), 1.0);
    let kept = intake.metric_values("many").len() as u64;
    assert_eq!((kept, intake.metrics().len()), (1024, 3));
    assert_eq!(only(&intake, "endless").values, [f64::MAX]);
    let account = account(&metrics);
    assert_eq!(account.delivered, 2 + kept);
    assert_eq!(account.dropped.get(DropReason::Invalid), 3);
    assert_eq!(account.dropped.get(DropReason::NoReceiver), 1);
    assert_eq!(account.dropped.get(DropReason::Sampled), 3000 - kept);
}

#[test]
fn points_of_the_past_keep_their_time() {
    let intake = intake();
    let metrics = start(agentless(&intake));
    let at = SystemTime::now() - Duration::from_secs(1800);
    let second = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    metrics.count_at("late", 3, at, [("route", "/cart")]);
    metrics.gauge_at("later", 1e-7, at, ());
    flush(&metrics, &intake);
    let (count, gauge) = (only(&intake, "late"), only(&intake, "later"));
    assert_eq!(
        (count.timestamp, gauge.timestamp),
        (Some(second), Some(second))
    );
    assert_eq!((count.kind, count.interval), (MetricKind::Count, Some(1)));
    assert_eq!((count.sum(), gauge.values), (3.0, vec![1e-7]));
    assert!(count.has_tag("route:/cart") && count.has_tag("service:shop"));
    assert_eq!(account(&metrics).delivered, 2);
}

#[test]
fn large_requests_are_compressed_if_the_feature_says_so() {
    let intake = intake();
    let metrics = start(agentless(&intake));
    for number in 0..200 {
        let tags = [("number", number.to_string())];
        metrics.count("hits", 1, &tags);
        metrics.distribution("sizes", 1.0, &tags);
    }
    flush(&metrics, &intake);
    assert_eq!(account(&metrics).delivered, 400);
    assert_eq!(intake.metrics().len(), 400);
    for (path, encoding) in [
        ("/api/v2/series", "gzip"),
        ("/api/v1/distribution_points", "deflate"),
    ] {
        let requests = intake.requests();
        let mut of_path = requests.iter().filter(|request| request.path == path);
        let sent = of_path.next().unwrap().header("content-encoding");
        let expected = cfg!(feature = "gzip").then_some(encoding);
        assert_eq!(sent, expected, "{path}");
    }
}
