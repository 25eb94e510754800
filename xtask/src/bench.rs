//! `cargo xtask bench`: the criterion benches, and their results in one table.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{Outcome, style, workspace};

/// `args`: a crate without its `datadog-`, such as `trace`, else all; then what criterion is to get, such as `--quick`.
pub(crate) fn run(args: &[String]) -> Outcome {
    let (crate_name, criterion_args) = match args {
        [name, rest @ ..] if !name.starts_with('-') => (Some(name), rest),
        rest => (None, rest),
    };
    let mut cargo = workspace::cargo();
    // Not `--benches`: that takes in the libraries, whose harness does not know criterion's arguments.
    cargo.args(["bench", "--bench", "*"]);
    match crate_name {
        Some(name) => cargo.args(["--package", &format!("datadog-{name}")]),
        None => cargo.arg("--workspace"),
    };
    let results = workspace::scratch()?.with_file_name("criterion");
    let started = SystemTime::now();
    let status = cargo.arg("--").args(criterion_args).status()?;
    if !status.success() {
        return Err(format!("cargo bench: {status}").into());
    }
    let mut found = Vec::new();
    collect(&results, started, &mut found)?;
    if found.is_empty() {
        return Err("no bench ran".into());
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    print!("\n{}", table(&found));
    eprintln!("{} in {}", style::good("details"), results.display());
    Ok(())
}

/// What criterion found out about one thing.
struct Estimate {
    name: String,
    /// The mean time of one round and the bounds of its 95 % confidence interval, in nanoseconds.
    mean: f64,
    low: f64,
    high: f64,
}

/// Finds criterion's files (criterion.rs: `src/analysis/mod.rs`) that are not older than `since`, in any depth.
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
        let mean = &estimates["mean"];
        let bounds = &mean["confidence_interval"];
        let number = |value: &Value| value.as_f64().ok_or("criterion wrote no number");
        Ok(Self {
            name: bench["full_id"].as_str().unwrap_or_default().to_owned(),
            mean: number(&mean["point_estimate"])?,
            low: number(&bounds["lower_bound"])?,
            high: number(&bounds["upper_bound"])?,
        })
    }
}

fn table(estimates: &[Estimate]) -> String {
    let time = |nanos: f64| match nanos {
        // A duration has no parts of a nanosecond.
        ..1000.0 => format!("{nanos:.2}ns"),
        _ => format!("{:.2?}", Duration::from_secs_f64(nanos / 1e9)),
    };
    let mut table = format!("{:<44}{:>12}{:>12}{:>12}\n", "bench", "mean", "from", "to");
    for estimate in estimates {
        let [mean, low, high] = [estimate.mean, estimate.low, estimate.high].map(time);
        let _ = writeln!(table, "{:<44}{mean:>12}{low:>12}{high:>12}", estimate.name);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_results_are_in_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let result = folder.path().join("span/child/new");
        fs::create_dir_all(&result).unwrap();
        fs::write(
            result.join("benchmark.json"),
            r#"{"full_id": "span/child"}"#,
        )
        .unwrap();
        let bounds = r#"{"lower_bound": 41.0, "upper_bound": 1500.0}"#;
        let mean =
            format!(r#"{{"mean": {{"point_estimate": 42.125, "confidence_interval": {bounds}}}}}"#);
        fs::write(result.join("estimates.json"), mean).unwrap();

        let mut found = Vec::new();
        collect(
            folder.path(),
            SystemTime::now() + Duration::from_secs(60),
            &mut found,
        )
        .unwrap();
        assert!(found.is_empty());
        collect(folder.path(), SystemTime::UNIX_EPOCH, &mut found).unwrap();
        let table = table(&found);
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["span/child", "42.12ns", "41.00ns", "1.50µs"]);
    }
}
