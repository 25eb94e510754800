//! Packages of PyPI that tests need, each in a virtual environment of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, style, workspace};

/// A package.
pub(crate) struct Package {
    /// Its name on PyPI.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// A module of it. If that can be imported, what it needs is there as well.
    pub(crate) module: &'static str,
}

impl Package {
    /// Makes sure that there is a virtual environment with it. Returns its Python.
    pub(crate) fn install(&self) -> Outcome<PathBuf> {
        let scratch = workspace::scratch()?;
        let venv = scratch.join(format!("{}-{}", self.name, self.version));
        let python = venv.join("bin/python3");
        if self.is_installed(&python) {
            return Ok(python);
        }
        eprintln!(
            "{} {} {} from PyPI into {} (once; up to a minute)",
            style::step("installing"),
            self.name,
            self.version,
            venv.display(),
        );
        // Built beside its place and moved there when complete, so that an interrupted installation is never taken for one.
        let unfinished = tempfile::Builder::new()
            .prefix("venv-")
            .tempdir_in(&scratch)?;
        create_venv(unfinished.path())?;
        let unfinished_python = unfinished.path().join("bin/python3");
        self.install_with(&unfinished_python)?;
        if !self.is_installed(&unfinished_python) {
            let Self { name, version, .. } = self;
            return Err(format!("pip ended well, but {name} {version} can't be imported").into());
        }
        if venv.exists() {
            fs::remove_dir_all(&venv)?;
        }
        fs::rename(unfinished.keep(), &venv)?;
        Ok(python)
    }

    fn is_installed(&self, python: &Path) -> bool {
        let code = format!(
            "import importlib.metadata, {}; print(importlib.metadata.version('{}'))",
            self.module, self.name
        );
        let output = Command::new(python).args(["-I", "-c", &code]).output();
        output.is_ok_and(|output| {
            output.status.success() && output.stdout.trim_ascii() == self.version.as_bytes()
        })
    }

    fn install_with(&self, python: &Path) -> Outcome {
        let status = Command::new(python)
            .args(["-I", "-m", "pip", "install", "--no-input"])
            .args(["--progress-bar", "off", "--disable-pip-version-check"])
            .arg(format!("{}=={}", self.name, self.version))
            // Standard output is for the tests' results.
            .stdout(io::stderr())
            .status()
            .map_err(|error| format!("can't run pip ({error})"))?;
        if status.success() {
            return Ok(());
        }
        let name = self.name;
        Err(format!("pip could not install {name}, see above; it needs the network once").into())
    }
}

fn create_venv(place: &Path) -> Outcome {
    let output = Command::new("python3")
        .args(["-I", "-m", "venv"])
        .arg(place)
        .output();
    let output = output.map_err(|error| {
        format!(
            "can't run `python3` ({error}). The conformance tests need Python 3 with venv and pip; \
             plain `cargo test` runs all others"
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "`python3 -m venv` failed. On Debian and Ubuntu it needs the package python3-venv. Python said:\n{}",
        String::from_utf8_lossy(&said)
    )
    .into())
}
