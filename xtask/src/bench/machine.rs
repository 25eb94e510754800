//! What the benches run on.

use std::fs;
use std::process::Command;

/// Processor, cores, kernel and compiler, in one line; what can't be found out is left out.
pub(crate) fn describe() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let cores = std::thread::available_parallelism()
        .ok()
        .map(|cores| format!("{cores} cores"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .ok()
        .map(|release| format!("{} {}", std::env::consts::OS, release.trim()));
    let compiler = Command::new("rustc")
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()));
    let known: Vec<String> = [processor, cores, kernel, compiler]
        .into_iter()
        .flatten()
        .collect();
    known.join(", ")
}
