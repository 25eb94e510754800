//! A line on the terminal that shows what arrived so far.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use datadog_local_agent::LocalAgent;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp, tcgetwinsize};

use crate::counts::Counts;
use crate::write_error;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(500);

/// Keeps the line up to date until the sender of `ended` is gone, and then removes it.
pub(crate) fn show(agent: &LocalAgent, ended: &Receiver<()>) {
    if !io::stderr().is_terminal() {
        return;
    }
    let mut shown = Counts::default();
    while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        let counts = Counts::of(agent);
        if counts != shown
            && let Some(columns) = usable_columns()
        {
            write_error(&drawn(&counts.to_string(), columns));
            shown = counts;
        }
    }
    if shown != Counts::default() && usable_columns().is_some() {
        write_error(ERASE_BELOW);
    }
}

/// The width of the terminal, if the line can do no harm there: in the background the terminal is somebody else's, and a
/// program that reads single keys draws on the whole of it.
fn usable_columns() -> Option<usize> {
    let terminal = io::stderr();
    let in_foreground = tcgetpgrp(&terminal).ok()? == getpgrp();
    let reads_lines = tcgetattr(&terminal)
        .ok()?
        .local_modes
        .contains(LocalModes::ICANON);
    let columns = tcgetwinsize(&terminal).ok()?.ws_col;
    (in_foreground && reads_lines).then_some(columns.into())
}

/// The line goes below the program's, to the right, so that the program's next line has its place. Functions of ECMA-48
/// and DEC that all terminals know: make room below, save the place, draw, go back.
fn drawn(text: &str, columns: usize) -> String {
    let text = format!("datadog-run: {text}");
    // The last column stays free: terminals wrap there.
    let Some(indent) = columns.checked_sub(text.chars().count() + 1) else {
        return String::new();
    };
    format!("\x1bD\x1b[A\x1b7\x1b[B\r\x1b[K\x1b[{indent}C\x1b[2m{text}\x1b[22m\x1b8")
}

/// From the cursor to the end of the screen.
const ERASE_BELOW: &str = "\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_does_not_fit_is_left_out() {
        assert_eq!(drawn("1 span", 19), "");
        let line = drawn("1 span", 80);
        assert!(
            line.contains("\x1b[60C\x1b[2mdatadog-run: 1 span"),
            "{line:?}"
        );
    }
}
