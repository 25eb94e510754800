//! Where things are, and how programs are run here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The folder for the tasks' own files, inside cargo's target folder wherever that is.
pub(crate) fn scratch() -> io::Result<PathBuf> {
    // TARGET/debug/xtask
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or(io::ErrorKind::NotFound)?;
    let scratch = target.join("xtask");
    std::fs::create_dir_all(&scratch)?;
    Ok(scratch)
}

/// Cargo, in the workspace's folder, without the user's Datadog settings.
pub(crate) fn cargo() -> Command {
    command(env!("CARGO"))
}

/// A program, in the workspace's folder, without the user's Datadog settings.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    remove_datadog_variables(&mut command);
    command
}

/// Takes all variables out of a command's environment that set up a Datadog client.
pub(crate) fn remove_datadog_variables(command: &mut Command) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the names of the variables are needed to take them out"
    )]
    let variables = std::env::vars_os();
    for (name, _) in variables {
        let text = name.to_string_lossy();
        if text.starts_with("DD_") || text.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
}
