//! The command line.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path;

use lexopt::{Arg, Parser};

use crate::program::Program;

pub(crate) const HELP: &str = "\
Starts a program with the Datadog client switched on.

Usage: datadog-run [--config FILE] [--local] [--show-config] [--] PROGRAM [ARGUMENT…]

  --config FILE   reads this YAML file instead of the host's application_monitoring.yaml
  --local         receives what the program sends, and shows it at the end: no account, no agent
  --show-config   shows each option, its value and where that comes from; without PROGRAM that is all
  -h, --help      shows this
  -V, --version   shows the version

What is not set otherwise is set for the program: DD_TRACE_PATCH=true, DD_SERVICE to the program's name,
DD_VERSION_USE_GIT=true. Problems of the configuration are printed; none stops the program.

Examples:
  datadog-run -- ./shop --port 8080
  datadog-run --local -- ./shop --port 8080
  DD_ENV=staging datadog-run --config shop.yaml --show-config

Status: the program's. 127: no such program, 126: it can't be executed, 125: datadog-run failed, 2: bad usage.
";

/// What the user asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Help,
    Version,
    /// With the file of `--config`.
    ShowConfig(Option<String>),
    Run(Wanted),
}

/// A program, and how to run it.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) program: Program,
    pub(crate) config_file: Option<String>,
    pub(crate) local: bool,
    pub(crate) show_config: bool,
}

/// Reads the arguments; the error says what is wrong with which.
pub(crate) fn parse(mut arguments: Parser) -> Result<Request, lexopt::Error> {
    let (mut config_file, mut local, mut show_config) = (None, false, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("config") => config_file = Some(readable(arguments.value()?)?),
            Arg::Long("local") => local = true,
            Arg::Long("show-config") => show_config = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Request::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Request::Version),
            // All that follows is the program's.
            Arg::Value(name) => {
                let arguments = arguments.raw_args()?.collect();
                return Ok(Request::Run(Wanted {
                    program: Program { name, arguments },
                    config_file,
                    local,
                    show_config,
                }));
            }
            unknown => return Err(unknown.unexpected()),
        }
    }
    if show_config && !local {
        return Ok(Request::ShowConfig(config_file));
    }
    Err("no program is given".into())
}

/// The absolute path of a file that can be read: the program may change its directory.
fn readable(file: OsString) -> Result<String, lexopt::Error> {
    let shown = file.to_string_lossy().into_owned();
    let problem = |reason: &str| lexopt::Error::from(format!("--config {shown}: {reason}"));
    // Before it is opened, which may wait for a writer.
    let kind = fs::metadata(&file).map_err(|error| problem(&error.to_string()))?;
    if kind.file_type().is_fifo() {
        return Err(problem(
            "is a pipe: what we read, the program could not read again",
        ));
    }
    File::open(&file).map_err(|error| problem(&error.to_string()))?;
    let path = path::absolute(&file).map_err(|error| problem(&error.to_string()))?;
    path.into_os_string()
        .into_string()
        .map_err(|_| problem("expected a path in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Request, String> {
        parse(Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    fn program(arguments: &[&str]) -> (Wanted, Vec<String>) {
        match parsed(arguments) {
            Ok(Request::Run(wanted)) => {
                let Program { name, arguments } = &wanted.program;
                let words = std::iter::once(name).chain(arguments);
                let words = words
                    .map(|word| word.to_str().unwrap().to_owned())
                    .collect();
                (wanted, words)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_follows_the_program_is_its_own() {
        for separator in [&[][..], &["--"]] {
            let own = ["shop", "--local", "-h", "--", "x"];
            let (wanted, words) = program(&[&["--show-config"], separator, &own].concat());
            assert_eq!(words, own);
            assert!(wanted.show_config && !wanted.local);
        }
        let (wanted, words) = program(&["--local", "--", "--odd-name"]);
        assert_eq!(words, ["--odd-name"]);
        assert!(wanted.local);
    }

    #[test]
    fn the_config_file_is_made_absolute() {
        for arguments in [
            &["--config", "Cargo.toml", "x"][..],
            &["--config=Cargo.toml", "x"],
        ] {
            let (wanted, _) = program(arguments);
            let file = wanted.config_file.unwrap();
            assert!(
                file.starts_with('/') && file.ends_with("/Cargo.toml"),
                "{file}"
            );
        }
    }

    #[test]
    fn what_cant_be_used_is_named() {
        for (arguments, problem) in [
            (&[][..], "no program is given"),
            (&["--"], "no program is given"),
            (&["--local"], "no program is given"),
            (&["--local", "--show-config"], "no program is given"),
            (&["--lokal", "x"], "--lokal"),
            (&["-x"], "-x"),
            (&["--config"], "--config"),
            (
                &["--config", "/no/such/file", "x"],
                "--config /no/such/file: No such file",
            ),
            (&["--local=yes", "x"], "--local"),
        ] {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(problem), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn the_rest() {
        assert!(matches!(parsed(&["--help", "x"]), Ok(Request::Help)));
        assert!(matches!(parsed(&["-V"]), Ok(Request::Version)));
        assert!(matches!(
            parsed(&["--show-config"]),
            Ok(Request::ShowConfig(None))
        ));
    }
}
