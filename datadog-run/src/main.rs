//! `datadog-run`: starts a program with the Datadog client switched on.
//!
//! ```text
//! datadog-run [--config FILE] [--local] [--show-config] [--] PROGRAM [ARGUMENT…]
//! ```
//!
//! # What the program gets
//!
//! Defaults, as environment variables, and only where nobody set the option: `DD_TRACE_PATCH=true`, `DD_SERVICE` from the
//! program's name, and `DD_VERSION_USE_GIT=true`. A variable, a file or a tag of `DD_TAGS` that says otherwise wins, and so
//! does the program's own code. Then the configuration is read as the program will read it, and what is wrong with it goes to
//! the standard error. It never stops the program.
//!
//! # How it runs
//!
//! Without `--local` the program takes the place of `datadog-run` in the same process (`exec`): signals, terminal and exit
//! status are its own.
//!
//! With `--local` it is a child in the same process group, with the same terminal, beside a receiver that keeps
//! what it sends. What the terminal sends (Ctrl-C) reaches both, and only the program acts on it. What is sent to
//! `datadog-run` alone is passed on: `SIGHUP`, `SIGINT`, `SIGQUIT`, `SIGTERM`, `SIGUSR1`, `SIGUSR2`. Who sends one to the
//! whole group by hand makes the program get it twice. When the program ends, the report of what arrived goes to the standard
//! error.
//!
//! # How it ends
//!
//! With `--local`, too, as the program did. If a signal killed the program, `datadog-run` dies of the same signal, without a
//! core dump of its own: a shell then stops its script at Ctrl-C, and a supervisor sees the cause, which it would not at a
//! status of 128 and the signal's number. That status is left for signals that have no name.
//!
//! | status | meaning |
//! |---|---|
//! | 2 | the command line can't be used |
//! | 125 | `datadog-run` itself failed: no local agent, no signal handlers |
//! | 126 | the program can't be executed |
//! | 127 | there is no such program |
//! | any other | the program's own |

mod command_line;
mod counts;
mod ending;
mod live;
mod local;
mod program;
mod settings;
mod signals;
mod supervise;

use std::io::{self, Write};
use std::process::ExitCode;

use command_line::{Request, Wanted};
use settings::Settings;

/// The status of a command line that can't be used.
const USAGE: u8 = 2;

/// The status of a failure of our own, as `timeout` and `env` have it.
const FAILED: u8 = 125;

fn main() -> ExitCode {
    match command_line::parse(lexopt::Parser::from_env()) {
        Ok(Request::Help) => say(command_line::HELP),
        Ok(Request::Version) => say(concat!("datadog-run ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::ShowConfig(config_file)) => show_config(config_file),
        Ok(Request::Run(wanted)) => run(wanted),
        Err(problem) => {
            complain(&format!("{problem}\nTry --help."));
            ExitCode::from(USAGE)
        }
    }
}

/// Shows the configuration that a program will have.
fn show_config(config_file: Option<String>) -> ExitCode {
    match Settings::new("".as_ref(), config_file) {
        Ok(settings) => {
            tell_problems(&settings);
            say(&settings.config.describe().to_string())
        }
        Err(error) => failed(&error),
    }
}

fn run(wanted: Wanted) -> ExitCode {
    let settings = match Settings::new(&wanted.program.name, wanted.config_file) {
        Ok(settings) => settings,
        Err(error) => return failed(&error),
    };
    if wanted.local {
        return local::run(&wanted.program, settings, wanted.show_config);
    }
    announce(&settings, wanted.show_config);
    wanted.program.replace_us(&settings.variables)
}

/// What is to be known before the program starts. The standard output is the program's.
fn announce(settings: &Settings, show_config: bool) {
    if show_config {
        write_error(&settings.config.describe().to_string());
    }
    tell_problems(settings);
}

fn tell_problems(settings: &Settings) {
    for problem in settings.config.problems() {
        complain(&problem.to_string());
    }
}

/// Prints to the standard output.
fn say(text: &str) -> ExitCode {
    let mut output = io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe went away.
        Err(_) => ExitCode::FAILURE,
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    complain(&error.to_string());
    ExitCode::from(FAILED)
}

fn complain(text: &str) {
    write_error(&format!("datadog-run: {text}\n"));
}

/// Prints to the standard error in one piece. If nobody reads it, nobody is to know.
fn write_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
