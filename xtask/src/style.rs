//! Emphasis, where standard error is a terminal.

use std::io::{IsTerminal, stderr};

/// The start of a step.
pub(crate) fn step(text: &str) -> String {
    painted("1;36", text)
}

/// Something that worked.
pub(crate) fn good(text: &str) -> String {
    painted("1;32", text)
}

/// Something that did not.
pub(crate) fn bad(text: &str) -> String {
    painted("1;31", text)
}

fn painted(code: &str, text: &str) -> String {
    if stderr().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
