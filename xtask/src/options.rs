//! `cargo xtask options`: writes the reference page of all options. A test of datadog-config says when that is due.

use std::fs;

use crate::{Outcome, workspace};

pub(crate) fn run() -> Outcome {
    let path = workspace::root().join("docs/configuration.md");
    let page = datadog_config::options_page();
    let is_current = fs::read_to_string(&path).is_ok_and(|written| written == page);
    if !is_current {
        fs::write(&path, page)?;
    }
    let verdict = if is_current { "is current" } else { "written" };
    println!("docs/configuration.md {verdict}");
    Ok(())
}
