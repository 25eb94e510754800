//! How many crates a program gets along with the client.

use std::collections::BTreeSet;

use crate::{Outcome, workspace};

/// Metrics, logs and traces to an agent stay below this many crates of others.
const FEWER_THAN: usize = 45;

/// Counts the crates of others, on this platform, and fails where there are too many.
pub(crate) fn check() -> Outcome {
    let output = workspace::cargo()
        .args([
            "tree",
            "--package",
            "datadog",
            "--features",
            "metrics,logs,tracing",
        ])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let crates = of_others(&String::from_utf8(output.stdout)?);
    println!("metrics, logs and tracing bring {} crates", crates.len());
    if crates.len() < FEWER_THAN {
        Ok(())
    } else {
        Err(format!("{FEWER_THAN} or more: {crates:?}").into())
    }
}

/// The names with versions in cargo's list, without those of this workspace, which have a path.
fn of_others(list: &str) -> BTreeSet<String> {
    list.lines()
        .filter(|line| !line.contains("(/"))
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_counts_once() {
        let list = "datadog v0.1.0 (/x/datadog)\nlibc v0.2.1\nserde v1.0.0 (proc-macro)\nlibc v0.2.1 (*)\nlibc v0.1.0";
        assert_eq!(of_others(list).len(), 3);
    }
}
