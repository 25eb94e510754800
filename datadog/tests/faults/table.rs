//! Tables for `docs/reliability.md`.

use std::path::Path;

/// Writes a Markdown table where `cargo xtask faults` finds it.
pub(crate) fn write(name: &str, header: &[String], rows: &[Vec<String>]) {
    let mut text = line(header);
    text.push_str(&line(&vec!["---".to_owned(); header.len()]));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), text).unwrap();
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}
