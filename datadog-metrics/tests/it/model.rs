//! Everything at once, against a model.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use crate::agent::{SOON, account, over_unix};
use datadog_local_agent::{LocalAgent, MetricKind, Received};
use datadog_metrics::Metrics;
use datadog_transport::Standalone;

const CONTEXTS: u64 = 1000;
const THREADS: u64 = 8;
const VALUES: u64 = 10_000;

/// What each context should have got.
#[derive(Debug, Default, PartialEq)]
struct Model {
    counts: BTreeMap<u64, i64>,
    /// Gauges that are changed by all threads: their last value.
    changed: BTreeMap<u64, i64>,
    /// Gauges that one thread sets: their last value.
    set: BTreeMap<u64, i64>,
    /// Sum and number of the samples of a kind.
    samples: BTreeMap<(MetricKind, u64), (i64, usize)>,
    members: BTreeMap<u64, BTreeSet<String>>,
}

impl Model {
    fn add(&mut self, other: Self) {
        for (context, sum) in other.counts {
            *self.counts.entry(context).or_default() += sum;
        }
        for (context, sum) in other.changed {
            *self.changed.entry(context).or_default() += sum;
        }
        self.set.extend(other.set);
        for (context, (sum, number)) in other.samples {
            self.sample(context, sum, number);
        }
        for (context, members) in other.members {
            self.members.entry(context).or_default().extend(members);
        }
    }

    fn sample(&mut self, context: (MetricKind, u64), sum: i64, number: usize) {
        let entry = self.samples.entry(context).or_default();
        entry.0 += sum;
        entry.1 += number;
    }

    /// What the agent got.
    fn received(got: &Received) -> Self {
        let mut model = Self::default();
        for metric in got.metrics() {
            let context = metric
                .tags
                .iter()
                .find_map(|tag| tag.strip_prefix("context:"));
            // Those without are about the client itself.
            let Some(context) = context else { continue };
            let context = context.parse().unwrap();
            assert_eq!(metric.sample_rate, 1.0);
            let sum = metric.values.iter().sum::<f64>() as i64;
            match metric.kind {
                MetricKind::Count => *model.counts.entry(context).or_default() += sum,
                MetricKind::Gauge if metric.name == "set" => {
                    model.set.insert(context, sum);
                }
                MetricKind::Gauge => {
                    model.changed.insert(context, sum);
                }
                MetricKind::Set => {
                    let members = model.members.entry(context).or_default();
                    members.extend(metric.set_value.clone());
                }
                kind => model.sample((kind, context), sum, metric.values.len()),
            }
        }
        model
    }
}

/// A step of xorshift64 (Marsaglia): random enough, and the same in each run.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Submits random values of random kinds to random contexts, by name and by handle, and returns what they come to.
fn submit(metrics: &Standalone<Metrics>, seed: u64) -> Model {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut model = Model::default();
    for number in 0..VALUES {
        let context = next(&mut random) % CONTEXTS;
        let value = (next(&mut random) % 2001) as i64 - 1000;
        let text = context.to_string();
        // The order of tags and the way in are the same context.
        let tags = [("context", text.as_str()), ("kind", "any")];
        let turned = [("kind", "any"), ("context", text.as_str())];
        let by_handle = next(&mut random).is_multiple_of(2);
        match next(&mut random) % 7 {
            0 => {
                if by_handle {
                    metrics.counter("count", tags).increment(value);
                } else {
                    metrics.count("count", value, turned);
                }
                *model.counts.entry(context).or_default() += value;
            }
            1 => {
                match (by_handle, value < 0) {
                    (true, true) => metrics.counter("count", tags).decrement(1),
                    (true, false) => metrics.counter("count", tags).increment(1),
                    (false, true) => metrics.decrement("count", turned),
                    (false, false) => metrics.increment("count", turned),
                }
                *model.counts.entry(context).or_default() += if value < 0 { -1 } else { 1 };
            }
            2 => {
                if by_handle {
                    metrics.gauge_handle("changed", tags).add(value as f64);
                    *model.changed.entry(context).or_default() += value;
                    continue;
                }
                // Of its own thread's contexts, or the last value would be a matter of time.
                let context = context / THREADS * THREADS + seed - 1;
                let text = context.to_string();
                metrics.gauge("set", value as f64, [("context", text)]);
                model.set.insert(context, value);
            }
            3 => {
                let sample = value as f64;
                if by_handle {
                    metrics.histogram_handle("histogram", tags).record(sample);
                } else {
                    metrics.histogram("histogram", sample, turned);
                }
                model.sample((MetricKind::Histogram, context), value, 1);
            }
            4 => {
                let sample = value as f64;
                if by_handle {
                    metrics.distribution_handle("sample", tags).record(sample);
                } else {
                    metrics.distribution("sample", sample, turned);
                }
                model.sample((MetricKind::Distribution, context), value, 1);
            }
            5 => {
                let time = Duration::from_millis(value.unsigned_abs());
                if by_handle {
                    metrics.timing_handle("timing", tags).record(time);
                } else {
                    metrics.timing("timing", time, turned);
                }
                model.sample((MetricKind::Timing, context), value.abs(), 1);
            }
            _ => {
                let member = format!("member {}", value % 7);
                metrics.set("members", &member, tags);
                model.members.entry(context).or_default().insert(member);
            }
        }
        // Flushes meet threads at any point.
        if number % 2000 == 0 {
            metrics.flush(SOON);
        }
    }
    model
}

#[test]
fn a_thousand_contexts_on_eight_threads_are_exact() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let mut model = Model::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|seed| {
                let metrics = &metrics;
                scope.spawn(move || submit(metrics, seed))
            })
            .collect();
        for thread in threads {
            model.add(thread.join().unwrap());
        }
    });

    metrics.flush(SOON);
    let account = account(&metrics);
    assert_eq!(account.accepted, THREADS * VALUES);
    assert_eq!(account.delivered, THREADS * VALUES);
    agent
        .wait_for(SOON, |got| got.datagrams() == account.requests)
        .unwrap();
    assert_eq!(Model::received(&agent.received()), model);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
}
