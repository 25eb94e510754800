//! `cargo xtask faults`: the client under every fault, and what became of its items as tables.

use std::fs;

use crate::{Outcome, style, workspace};

/// The tables that the test writes into cargo's `target/tmp`.
const TABLES: [&str; 2] = ["faults.md", "restarts.md"];

/// With `long`, the restarts take a minute.
pub(crate) fn run(long: bool) -> Outcome {
    let tables = workspace::scratch()?.with_file_name("tmp");
    for table in TABLES {
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
    let page = workspace::root().join("docs/reliability.md");
    let before = fs::read_to_string(&page)?;
    let mut text = before.clone();
    for table in TABLES {
        let rows = fs::read_to_string(tables.join(table))?;
        println!("\n{rows}");
        // The page tells of the run that every test makes.
        if !(long && table == "restarts.md") {
            text = replace(&text, table, &rows)?;
        }
    }
    let is_current = text == before;
    if !is_current {
        fs::write(&page, text)?;
    }
    let verdict = if is_current { "is current" } else { "written" };
    println!(
        "{} docs/reliability.md {verdict}",
        style::good("xtask faults:")
    );
    Ok(())
}

/// Puts `rows` between the marks of the table of this name.
fn replace(page: &str, table: &str, rows: &str) -> Outcome<String> {
    let (start, end) = (
        format!("<!-- {table} -->\n"),
        format!("<!-- end of {table} -->"),
    );
    let missing = || format!("docs/reliability.md has no marks for {table}");
    let (head, rest) = page.split_once(&start).ok_or_else(missing)?;
    let (_, tail) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{head}{start}\n{rows}\n{end}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_goes_between_its_marks() {
        let page = "a\n<!-- t -->\n\nold\n\n<!-- end of t -->\nb\n";
        let new = replace(page, "t", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- t -->\n\nnew\n\n<!-- end of t -->\nb\n");
        assert_eq!(replace(&new, "t", "new\n").unwrap(), new);
        assert!(replace(page, "other", "").is_err());
    }
}
