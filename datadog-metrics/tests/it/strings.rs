//! Whatever strings go in, a strict reader gets exactly the metrics that were meant.

use std::collections::BTreeSet;

use crate::agent::{SOON, account, over_unix};
use datadog_local_agent::{LocalAgent, MetricKind};
use datadog_metrics::{Event, ServiceCheck, Status};
use datadog_transport::DropReason;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

/// Text that may contain anything, often what has a meaning in the protocol.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,6}",
        any::<char>().prop_map(String::from),
        "[a-z0-9.]{0,8}",
        Just("\n".to_owned()),
        Just("|c|#".to_owned()),
        Just("\nevil:1|c\n".to_owned()),
        Just("_e{1,1}:a|b".to_owned()),
        Just(":".to_owned()),
        Just(",".to_owned()),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    })
}

#[test]
fn any_text_makes_one_metric_or_none() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let input = (
        text(),
        prop::collection::vec((text(), text()), 0..4),
        text(),
        text(),
    );
    let result = runner(300).run(&input, |(name, tags, one, other)| {
        agent.clear();
        let before = account(&metrics);
        metrics.count(&name, 7, &tags);
        metrics.set("set", &one, &tags);
        metrics.event(
            &Event::new(&one, &other)
                .hostname(&name)
                .aggregation_key(&one),
            &tags,
        );
        metrics.service_check(
            &ServiceCheck::new(&one, Status::Warning)
                .message(&other)
                .hostname(&name),
            &tags,
        );
        metrics.flush(SOON);

        let has_name = name.chars().any(|char| char.is_ascii_alphabetic());
        let has_title = one.chars().any(|char| char != '\r');
        let expected = (
            usize::from(has_name) + usize::from(!one.is_empty()),
            usize::from(has_title),
            usize::from(!one.is_empty()),
        );
        let total = expected.0 + expected.1 + expected.2;
        agent
            .wait_for(SOON, |got| {
                got.metrics().len() + got.events().len() + got.service_checks().len() >= total
            })
            .unwrap();
        let got = agent.received();
        prop_assert!(got.refusals().is_empty(), "{:?}", got.refusals());
        prop_assert_eq!(
            (
                got.metrics().len(),
                got.events().len(),
                got.service_checks().len()
            ),
            expected
        );
        for metric in got.metrics() {
            match metric.kind {
                MetricKind::Count => prop_assert_eq!(&metric.values, &[7.0]),
                kind => prop_assert_eq!(kind, MetricKind::Set),
            }
            prop_assert!(metric.tags.len() <= tags.len() + 1);
        }
        let after = account(&metrics);
        let invalid =
            |health: &datadog_transport::SignalHealth| health.dropped.get(DropReason::Invalid);
        prop_assert_eq!(after.delivered - before.delivered, total as u64);
        prop_assert_eq!(invalid(&after) - invalid(&before), 4 - total as u64);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn proper_text_arrives_unchanged() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let tags = prop::collection::vec(("[a-zé][a-z0-9_./é-]{0,20}", "[^,|\\pC]{0,40}"), 0..5);
    let input = (
        "[a-zA-Z][a-zA-Z0-9_.]{0,60}",
        tags,
        any::<i64>(),
        -1e300..1e300,
    );
    let result = runner(300).run(&input, |(name, tags, count, sample)| {
        agent.clear();
        metrics.count(&name, count, &tags);
        metrics.distribution(&name, sample, &tags);
        metrics.flush(SOON);
        agent
            .wait_for(SOON, |got| got.metrics().len() >= 2)
            .unwrap();
        let mut expected: BTreeSet<String> = tags
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        expected.insert("service:shop".to_owned());
        for metric in agent.metrics() {
            prop_assert_eq!(&metric.name, &name);
            let got: BTreeSet<String> = metric.tags.iter().cloned().collect();
            if !tags.iter().any(|(key, _)| key == "service") {
                prop_assert_eq!(&got, &expected);
            }
            match metric.kind {
                MetricKind::Count => prop_assert_eq!(metric.values[0], count as f64),
                _ => prop_assert_eq!(metric.values[0], sample),
            }
        }
        prop_assert!(agent.refusals().is_empty());
        Ok(())
    });
    result.unwrap();
}
