//! Metrics as a table: one row for each name, kind and set of tags.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::text::{self, Table};
use crate::metric::{Metric, MetricKind};
use crate::received::Received;

/// Most rows shown.
const MAX_ROWS: usize = 100;
/// Columns of a histogram of values.
const BUCKETS: usize = 12;

pub(super) fn write(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let metrics = received.metrics();
    let mut groups: BTreeMap<(&str, MetricKind, BTreeSet<&str>), Vec<&Metric>> = BTreeMap::new();
    for metric in metrics {
        let tags = metric.tags.iter().map(String::as_str).collect();
        let key = (metric.name.as_str(), metric.kind, tags);
        groups.entry(key).or_default().push(metric);
    }
    let detail = format!(
        "{}, {}",
        text::counted(groups.len(), "context", "contexts"),
        text::counted(metrics.len(), "submission", "submissions"),
    );
    text::heading(f, "Metrics", &detail)?;
    let shared = shared_tags(groups.keys().map(|(_, _, tags)| tags));
    if !shared.is_empty() {
        let tags: Vec<_> = shared.iter().copied().collect();
        writeln!(f, "  all with {}", text::shorten(&tags.join(" "), 100))?;
    }
    let mut table = Table::default();
    for ((name, kind, tags), metrics) in groups.iter().take(MAX_ROWS) {
        let own: Vec<_> = tags.difference(&shared).copied().collect();
        table.row([
            text::shorten(name, 40),
            kind.to_string(),
            value(*kind, metrics),
            histogram(*kind, metrics),
            text::shorten(&own.join(" "), 60),
        ]);
    }
    table.write(f)?;
    match groups.len().saturating_sub(MAX_ROWS) {
        0 => Ok(()),
        hidden => writeln!(f, "  … {hidden} more"),
    }
}

/// Tags that every one of several contexts has.
fn shared_tags<'a>(mut all: impl Iterator<Item = &'a BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    match (all.next(), all.next()) {
        (Some(first), Some(second)) => all.fold(first & second, |shared, tags| &shared & tags),
        _ => BTreeSet::new(),
    }
}

/// What a context's submissions amount to.
fn value(kind: MetricKind, metrics: &[&Metric]) -> String {
    let values = values(metrics);
    match kind {
        MetricKind::Count | MetricKind::Rate => {
            text::number(metrics.iter().map(|metric| metric.sum()).sum())
        }
        MetricKind::Set => {
            let members: BTreeSet<_> = metrics
                .iter()
                .filter_map(|metric| metric.set_value.as_deref())
                .collect();
            let shown: Vec<_> = members.iter().copied().collect();
            let shown = text::shorten(&shown.join(", "), 30);
            format!("{} unique: {shown}", members.len())
        }
        MetricKind::Gauge | MetricKind::Unspecified => gauge(&values),
        MetricKind::Timing => spread(&values, |milliseconds| text::duration(milliseconds * 1e6)),
        MetricKind::Histogram | MetricKind::Distribution => spread(&values, text::number),
    }
}

fn values(metrics: &[&Metric]) -> Vec<f64> {
    let all = metrics.iter().flat_map(|metric| &metric.values);
    all.copied().collect()
}

fn gauge(values: &[f64]) -> String {
    let Some(last) = values.last() else {
        return String::new();
    };
    let (low, high) = bounds(values);
    if low == high {
        return text::number(*last);
    }
    let (low, high) = (text::number(low), text::number(high));
    format!("{} (was {low} to {high})", text::number(*last))
}

/// Number of values, least, most and mean.
fn spread(values: &[f64], show: impl Fn(f64) -> String) -> String {
    if let [value] = values {
        return show(*value);
    }
    let (low, high) = bounds(values);
    let mean = show(values.iter().sum::<f64>() / values.len() as f64);
    format!(
        "{} × {} to {}, mean {mean}",
        values.len(),
        show(low),
        show(high)
    )
}

/// How many values lie where, for kinds of which that is of interest and if there are enough of them.
fn histogram(kind: MetricKind, metrics: &[&Metric]) -> String {
    let spreads = [
        MetricKind::Timing,
        MetricKind::Histogram,
        MetricKind::Distribution,
    ];
    let values = values(metrics);
    let (low, high) = bounds(&values);
    if !spreads.contains(&kind) || values.len() < 5 || low == high {
        return String::new();
    }
    let mut counts = [0; BUCKETS];
    for value in values {
        let share = (value - low) / (high - low);
        let bucket = (share * BUCKETS as f64) as usize;
        counts[bucket.min(BUCKETS - 1)] += 1;
    }
    format!("▕{}▏", text::spark(&counts))
}

fn bounds(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}
