//! The program to be started.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::complain;

/// The program and its arguments, as they were given.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: OsString,
    pub(crate) arguments: Vec<OsString>,
}

impl Program {
    /// Makes this process the program's. Returns only if that fails.
    pub(crate) fn replace_us(&self, variables: &[(String, String)]) -> ExitCode {
        let error = self.command(variables).exec();
        self.refused(&error)
    }

    pub(crate) fn command(&self, variables: &[(String, String)]) -> Command {
        let mut command = Command::new(&self.name);
        command
            .args(&self.arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Says that the program can't be started. The status is that of shells (POSIX, Shell Command Language, 2.8.2).
    pub(crate) fn refused(&self, error: &io::Error) -> ExitCode {
        complain(&format!("{}: {error}", self.name.to_string_lossy()));
        ExitCode::from(match error.kind() {
            io::ErrorKind::NotFound => 127,
            _ => 126,
        })
    }
}
