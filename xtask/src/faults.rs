//! `cargo xtask faults`: the client under every fault, and what became of its items as tables.

use std::fs;

use crate::marks::Page;
use crate::{Outcome, style, workspace};

/// With `long`, the restarts take a minute.
pub(crate) fn run(long: bool) -> Outcome {
    // What the test writes into cargo's `target/tmp`.
    let names = match long {
        false => ["faults.md", "restarts.md"],
        true => ["faults.md", "restarts-long.md"],
    };
    let tables = workspace::scratch()?.with_file_name("tmp");
    for table in names {
        // One of an earlier run says nothing.
        let _ = fs::remove_file(tables.join(table));
    }
    let mut cargo = workspace::cargo();
    cargo.args([
        "test",
        "--package",
        "datadog",
        "--test",
        "faults",
        "--",
        "--nocapture",
    ]);
    if long {
        cargo.env("DATADOG_FAULTS_LONG", "1");
    }
    if !cargo.status()?.success() {
        return Err("a fault had another outcome than it should".into());
    }
    let mut page = Page::read("docs/reliability.md")?;
    for table in names {
        let rows = fs::read_to_string(tables.join(table))?;
        println!("\n{rows}");
        page.replace(table, &rows)?;
    }
    println!("{} {}", style::good("xtask faults:"), page.write()?);
    Ok(())
}
