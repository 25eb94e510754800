//! Everything at once, against a model.

use std::collections::BTreeMap;
use std::thread;

use crate::agent::{SOON, account, over_unix};
use datadog_local_agent::{LocalAgent, MetricKind, Received};

const CONTEXTS: u64 = 1000;
const THREADS: u64 = 8;
const VALUES: u64 = 10_000;

/// What each context should have got: the sum of a count, the last value of a gauge, the sum and number of samples.
#[derive(Default)]
struct Model {
    counts: BTreeMap<u64, i64>,
    samples: BTreeMap<u64, (f64, usize)>,
}

/// A step of xorshift64 (Marsaglia): random enough, and the same in each run.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn a_thousand_contexts_on_eight_threads_are_exact() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let submit = |seed: u64| {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut model = Model::default();
        for number in 0..VALUES {
            let context = next(&mut random) % CONTEXTS;
            let value = (next(&mut random) % 2001) as i64 - 1000;
            let text = context.to_string();
            // The order of tags and the way in are the same context.
            let tags = [("context", text.as_str()), ("kind", "any")];
            let turned = [("kind", "any"), ("context", text.as_str())];
            match next(&mut random) % 4 {
                0 => metrics.count("count", value, tags),
                1 => metrics.count("count", value, turned),
                2 => metrics.counter("count", tags).increment(value),
                _ => {
                    metrics.distribution("sample", value as f64, tags);
                    let (sum, number) = model.samples.entry(context).or_default();
                    *sum += value as f64;
                    *number += 1;
                    continue;
                }
            }
            *model.counts.entry(context).or_default() += value;
            // Flushes meet threads at any point.
            if number % 1000 == 0 {
                metrics.flush(SOON);
            }
        }
        model
    };
    let models: Vec<Model> = thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|seed| scope.spawn(move || submit(seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let mut model = Model::default();
    for of_thread in models {
        for (context, sum) in of_thread.counts {
            *model.counts.entry(context).or_default() += sum;
        }
        for (context, (sum, number)) in of_thread.samples {
            let entry = model.samples.entry(context).or_default();
            entry.0 += sum;
            entry.1 += number;
        }
    }

    metrics.flush(SOON);
    let account = account(&metrics);
    assert_eq!(account.accepted, THREADS * VALUES);
    assert_eq!(account.delivered, THREADS * VALUES);
    let expected: usize = model.samples.values().map(|(_, number)| number).sum();
    let samples = |got: &Received| got.metric_values("sample").len();
    agent
        .wait_for(SOON, |got| samples(got) == expected)
        .unwrap();

    let mut counts = BTreeMap::<u64, i64>::new();
    let mut samples = BTreeMap::<u64, (f64, usize)>::new();
    for metric in agent.metrics() {
        let context = metric
            .tags
            .iter()
            .find_map(|tag| tag.strip_prefix("context:"));
        let Some(context) = context else { continue };
        let context = context.parse().unwrap();
        assert_eq!(metric.sample_rate, 1.0);
        match metric.kind {
            MetricKind::Count => *counts.entry(context).or_default() += metric.values[0] as i64,
            _ => {
                let entry = samples.entry(context).or_default();
                entry.0 += metric.values.iter().sum::<f64>();
                entry.1 += metric.values.len();
            }
        }
    }
    assert_eq!(counts, model.counts);
    assert_eq!(samples, model.samples);
    assert!(agent.refusals().is_empty());
}

#[test]
fn five_million_counts_lose_nothing() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let hits = metrics.counter("hits", [("by", "handle")]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..625_000 {
                    hits.increment(1);
                    metrics.count("hits", 1, [("by", "name")]);
                }
            });
        }
    });
    metrics.flush(SOON);
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 5_000_000.0)
        .unwrap();
    let account = account(&metrics);
    assert_eq!(account.delivered, 5_000_000);
    assert!(account.requests < 100, "{} datagrams", account.requests);
}
