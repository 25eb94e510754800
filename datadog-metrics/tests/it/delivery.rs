//! Servers that are not there, go away, or take no more.

use std::time::Duration;

use crate::agent::{SOON, account, over_udp, over_unix};
use datadog_local_agent::LocalAgent;
use datadog_metrics::{Event, Metrics};
use datadog_transport::{DropReason, Standalone};

fn owed_while_the_server_is_away(start: fn(&LocalAgent) -> Standalone<Metrics>) {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    let hits = metrics.counter("hits", ());
    let submit = || {
        for number in 0..100 {
            hits.increment(1);
            metrics.distribution("sizes", f64::from(number), ());
        }
        metrics.gauge("depth", 7.0, ());
        metrics.set("users", "ann", ());
        metrics.event(&Event::new("restart", "again"), ());
    };
    agent.stop_listening().unwrap();
    for round in 1..=3 {
        submit();
        let report = metrics.flush(SOON);
        assert_eq!(
            (report.delivered, report.buffered),
            (0, round * 203),
            "{report}"
        );
    }
    let away = account(&metrics);
    let reason = away.last_error.unwrap().message;
    assert!(reason.contains("nothing listens on"), "{reason}");
    assert_eq!(away.dropped.total(), 0);
    assert!(away.retries >= 2, "{}", away.retries);

    agent.restart().unwrap();
    submit();
    assert_eq!(metrics.flush(SOON).delivered, 4 * 203);
    agent
        .wait_for(SOON, |got| {
            got.metric_sum("hits") == 400.0
                && got.metric_values("sizes").len() == 400
                && got.metric_values("depth") == [7.0]
                && got.metrics_named("users").count() == 1
                && got.events().len() == 4
        })
        .unwrap();
    assert!(agent.refusals().is_empty());
}

#[test]
fn owed_while_the_server_is_away_udp() {
    owed_while_the_server_is_away(over_udp);
}

#[test]
fn owed_while_the_server_is_away_unix() {
    owed_while_the_server_is_away(over_unix);
}

#[test]
fn a_server_that_restarted_between_two_flushes_gets_everything() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    metrics.count("hits", 1, ());
    metrics.flush(SOON);
    // What waits in the old server's socket goes with it.
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 1.0)
        .unwrap();
    agent.restart().unwrap();
    metrics.count("hits", 2, ());
    assert_eq!(metrics.flush(SOON).delivered, 1);
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 3.0)
        .unwrap();
}

#[test]
fn a_full_server_gets_the_rest_later() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    agent.pause_dogstatsd();
    // Much more than a socket's buffer holds.
    let submit = || {
        for number in 0..20_000 {
            metrics.count("hits", 1, [("number", number.to_string())]);
        }
    };
    submit();
    let report = metrics.flush(SOON);
    assert!(report.buffered > 0, "{report}");
    let full = account(&metrics);
    assert_eq!(full.dropped.total(), 0);
    let reason = full.last_error.unwrap().message;
    assert!(reason.contains("full"), "{reason}");

    agent.resume_dogstatsd();
    while account(&metrics).buffered > 0 {
        metrics.flush(SOON);
    }
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 20_000.0)
        .unwrap();
}

#[test]
fn too_many_contexts_are_counted() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    // Or the worker's own flush would deliver some of them.
    agent.stop_listening().unwrap();
    for number in 0..20_010 {
        metrics.increment("hits", [("number", number.to_string())]);
    }
    metrics.increment("hits", [("number", "20005")]);
    let account = account(&metrics);
    assert_eq!(account.dropped.get(DropReason::Cardinality), 11);
    assert_eq!(account.buffered, 20_000);
}

#[test]
fn the_end_delivers_and_later_values_are_counted_as_dropped() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    let hits = metrics.counter("hits", ());
    hits.increment(5);
    let report = metrics.shutdown(SOON);
    assert_eq!((report.delivered, report.buffered), (1, 0));
    hits.increment(1);
    metrics.distribution("late", 1.0, ());
    let account = account(&metrics);
    assert_eq!(account.dropped.get(DropReason::Shutdown), 2);
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 5.0)
        .unwrap();
}

#[test]
fn the_end_without_a_server_is_quick_and_counted() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    agent.stop_listening().unwrap();
    metrics.count("hits", 5, ());
    metrics.event(&Event::new("end", "soon"), ());
    let report = metrics.shutdown(Duration::from_secs(5));
    assert!(report.complete);
    assert_eq!(report.dropped.get(DropReason::Shutdown), 2);
    assert_eq!(account(&metrics).accepted, 2);
}

#[test]
fn dropping_the_client_flushes() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    for _ in 0..30_000 {
        metrics.increment("hits", ());
    }
    drop(metrics);
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 30_000.0)
        .unwrap();
}

#[test]
fn the_worker_flushes_by_itself() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    metrics.increment("hits", ());
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 1.0)
        .unwrap();
}

#[test]
fn the_client_tells_about_itself() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    metrics.count("hits", 5, ());
    metrics.event(&Event::new("started", ""), ());
    agent
        .wait_for(SOON, |got| {
            got.metric_sum("datadog.dogstatsd.client.metrics") == 1.0
                && got.metric_sum("datadog.dogstatsd.client.events") == 1.0
                && got.metric_sum("datadog.dogstatsd.client.packets_sent") == 2.0
                && got.metric_sum("datadog.dogstatsd.client.aggregated_context") == 1.0
        })
        .unwrap();
    let by_type = agent.metrics_named("datadog.dogstatsd.client.metrics_by_type");
    assert!(by_type[0].has_tag("metrics_type:count") && by_type[0].has_tag("client:rust"));
    assert_eq!(account(&metrics).accepted, 2);
}
