//! Tasks of this workspace, started with `cargo xtask TASK`: what plain cargo can't do alone.
//!
//! One file a task; `help` lists them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talks to people")]

mod bench;
mod ci;
mod crates;
mod demo;
mod faults;
mod flamegraph;
mod fuzz;
mod help;
mod marks;
mod options;
mod python;
mod servers;
mod stacks;
mod style;
mod test;
mod test_agent;
mod verify;
mod workspace;

use std::path::Path;
use std::process::ExitCode;

use servers::IfMissing;

/// What a task comes to; the error is shown to the user.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_else(|| "help".to_owned());
    let args: Vec<String> = args.collect();
    let outcome = match (task.as_str(), args.as_slice()) {
        ("help" | "--help" | "-h", _) => help::run(),
        ("test", args) => test::run(args, IfMissing::Warn),
        ("bench", args) => bench::run(args),
        ("fuzz", args) => fuzz::run(args),
        ("verify", args) => verify::run(args),
        ("demo", []) => demo::run(None),
        ("demo", [flag, file]) if flag == "--flamegraph" => demo::run(Some(Path::new(file))),
        ("demo", _) => Err("takes nothing but --flamegraph FILE".into()),
        ("options", []) => options::run(),
        ("faults", []) => faults::run(false),
        ("faults", [long]) if long == "--long" => faults::run(true),
        ("ci", []) => ci::run(),
        ("faults", _) => Err("takes nothing but --long".into()),
        ("options" | "ci", _) => Err("takes no arguments".into()),
        _ => Err("there is no such task; `cargo xtask help` lists them".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} xtask {task}: {error}", style::bad("failed:"));
            ExitCode::FAILURE
        }
    }
}
