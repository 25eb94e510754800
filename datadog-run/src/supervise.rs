//! The program as a child beside us.

use std::io;
use std::process::{Command, ExitStatus};

use rustix::process::Pid;
use signal_hook::consts::SIGCHLD;

use crate::signals::{self, pass_on};

/// Why there is no status.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program could not be started.
    Program(io::Error),
    /// We could not do our part.
    Ours(io::Error),
}

/// Runs the program to its end. Signals that reach only us are passed on.
pub(crate) fn run(mut command: Command) -> Result<ExitStatus, Failure> {
    // Before the start, so that no signal gets lost.
    let mut signals = signals::catch().map_err(Failure::Ours)?;
    let mut child = command.spawn().map_err(Failure::Program)?;
    let program = Pid::from_child(&child);
    // One thread for both, so that no signal goes to a process that has been waited for and replaced by another.
    for origin in signals.forever() {
        if origin.signal != SIGCHLD {
            pass_on(&origin, program);
        } else if let Some(status) = child.try_wait().map_err(Failure::Ours)? {
            return Ok(status);
        }
    }
    child.wait().map_err(Failure::Ours)
}
