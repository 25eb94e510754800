//! What criterion found out, read from its files (criterion.rs: `src/analysis/mod.rs`).

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::Outcome;

/// This project among its peers.
const OURS: &str = "datadog";

/// One thing that was measured.
struct Estimate {
    /// What is done.
    group: String,
    /// Who does it.
    client: String,
    /// The median time of one round and the bounds of its 95 % confidence interval, in nanoseconds.
    median: f64,
    low: f64,
    high: f64,
    /// How many bytes one round makes.
    bytes: Option<f64>,
}

/// The results below `folder` that are not older than `since`, as a table in Markdown: each group with the quickest first.
/// Empty if there are none.
pub(crate) fn table(folder: &Path, since: SystemTime) -> Outcome<String> {
    let mut found = Vec::new();
    if folder.exists() {
        collect(folder, since, &mut found)?;
    }
    if found.is_empty() {
        return Ok(String::new());
    }
    found.sort_by(|a, b| a.group.cmp(&b.group).then(a.median.total_cmp(&b.median)));
    let mut table = String::from(
        "| work | client | median | 95 % of the medians | against ours |\n|---|---|---|---|---|\n",
    );
    let mut last = "";
    for estimate in &found {
        let [median, low, high] = [estimate.median, estimate.low, estimate.high].map(time);
        let ours = found
            .iter()
            .find(|other| other.group == estimate.group && other.client == OURS);
        let ratio = match ours {
            Some(ours) if estimate.client != OURS => {
                format!("{:.1} ×", estimate.median / ours.median)
            }
            _ => String::new(),
        };
        let group = if estimate.group == last {
            ""
        } else {
            &estimate.group
        };
        last = &estimate.group;
        // A byte in a nanosecond is a GB in a second.
        let rate = estimate.bytes.map(|bytes| bytes / estimate.median);
        let rate = rate.map_or_else(String::new, |rate| format!(", {rate:.1} GB/s"));
        let _ = writeln!(
            table,
            "| {group} | {} | {median}{rate} | {low} – {high} | {ratio} |",
            estimate.client
        );
    }
    Ok(table)
}

/// Finds the estimates in any depth.
fn collect(folder: &Path, since: SystemTime, found: &mut Vec<Estimate>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with("new") {
            let estimates = path.join("estimates.json");
            if fs::metadata(&estimates)?.modified()? >= since {
                found.push(Estimate::read(&path)?);
            }
        } else if path.is_dir() {
            collect(&path, since, found)?;
        }
    }
    Ok(())
}

impl Estimate {
    fn read(folder: &Path) -> Outcome<Self> {
        let json = |file: &str| -> Outcome<Value> {
            Ok(serde_json::from_slice(&fs::read(folder.join(file))?)?)
        };
        let (bench, estimates) = (json("benchmark.json")?, json("estimates.json")?);
        let median = &estimates["median"];
        let bounds = &median["confidence_interval"];
        let number = |value: &Value| value.as_f64().ok_or("criterion wrote no number");
        let text = |key: &str| bench[key].as_str().unwrap_or_default().to_owned();
        let client = [text("function_id"), text("value_str")];
        let client: Vec<_> = client.into_iter().filter(|part| !part.is_empty()).collect();
        Ok(Self {
            group: text("group_id"),
            client: client.join(", "),
            median: number(&median["point_estimate"])?,
            low: number(&bounds["lower_bound"])?,
            high: number(&bounds["upper_bound"])?,
            bytes: bench["throughput"]["Bytes"].as_f64(),
        })
    }
}

fn time(nanos: f64) -> String {
    match nanos {
        // A duration has no parts of a nanosecond.
        ..1000.0 => format!("{nanos:.1} ns"),
        _ => format!("{:.2?}", Duration::from_secs_f64(nanos / 1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(folder: &Path, client: &str, median: f64) {
        let result = folder.join("a span").join(client).join("new");
        fs::create_dir_all(&result).unwrap();
        let throughput = r#""throughput": {"Bytes": 100}"#;
        let names = format!(r#"{{"group_id": "a span", "function_id": "{client}", {throughput}}}"#);
        fs::write(result.join("benchmark.json"), names).unwrap();
        let bounds = r#"{"lower_bound": 41.0, "upper_bound": 1500.0}"#;
        let estimates = format!(
            r#"{{"median": {{"point_estimate": {median}, "confidence_interval": {bounds}}}}}"#
        );
        fs::write(result.join("estimates.json"), estimates).unwrap();
    }

    #[test]
    fn only_new_results_are_in_the_table() {
        let folder = tempfile::tempdir().unwrap();
        result(folder.path(), "datadog", 42.125);
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(table(folder.path(), later).unwrap(), "");
        let old = table(folder.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert!(old.contains("42.1 ns"), "{old}");
    }

    #[test]
    fn peers_stand_beside_ours_with_their_ratio() {
        let folder = tempfile::tempdir().unwrap();
        result(folder.path(), "slow", 84.25);
        result(folder.path(), "datadog", 42.125);
        let table = table(folder.path(), SystemTime::UNIX_EPOCH).unwrap();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| a span | datadog | 42.1 ns, 2.4 GB/s | 41.0 ns – 1.50µs |  |",
                "|  | slow | 84.2 ns, 1.2 GB/s | 41.0 ns – 1.50µs | 2.0 × |",
            ]
        );
    }
}
