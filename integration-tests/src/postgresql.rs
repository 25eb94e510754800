//! PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{LIMIT, told};

/// Names the directory of an installation.
const VARIABLE: &str = "POSTGRESQL";

/// A running server.
#[derive(Debug)]
pub struct PostgreSql {
    process: Child,
    /// Removed when dropped, so after the process.
    directory: TempDir,
}

impl PostgreSql {
    /// A server of its own, with a socket in a directory of its own; `None` where none is installed.
    ///
    /// # Panics
    ///
    /// If one is installed and does not start.
    pub fn start() -> Option<Self> {
        let installed = programs()?;
        let directory = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .unwrap();
        let root = directory.path();
        // It refuses to run as root.
        let user = (fs::metadata("/proc/self").unwrap().uid() == 0).then_some(65_534);
        if let Some(user) = user {
            chown(root, Some(user), Some(user)).unwrap();
        }
        let programs = match user {
            // The user can't look everywhere.
            Some(_) if told(VARIABLE).is_some() => copied(&installed, root),
            _ => installed.join("bin"),
        };
        let data = root.join("data");
        let run = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command
                .current_dir(root)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command.arg("-D").arg(&data);
            command
        };
        let made = run("initdb")
            .args(["--no-sync", "--auth=trust", "--username=shop"])
            .status()
            .unwrap();
        assert!(made.success());
        let process = run("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(root)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { process, directory }.wait())
    }

    /// The directory of its socket.
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until it takes connections: it has no other way to tell.
    fn wait(self) -> Self {
        let socket = self.directory.path().join(".s.PGSQL.5432");
        let started = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(started.elapsed() < LIMIT, "PostgreSQL does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        self
    }
}

impl Drop for PostgreSql {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Where it is installed: where `cargo xtask test` put it, on the path, or where Debian has it.
fn programs() -> Option<PathBuf> {
    if let Some(told) = told(VARIABLE) {
        return Some(told.into());
    }
    let of_debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let of_debian = of_debian.map(|version| version.path());
    let usual = ["/usr/local", "/usr", "/usr/local/pgsql"];
    let mut places = usual.iter().map(PathBuf::from).chain(of_debian);
    let has = |place: &Path, program| place.join("bin").join(program).exists();
    places.find(|place| has(place, "initdb") && has(place, "postgres"))
}

/// The programs of a Python package, copied with the libraries beside it to where the user may look.
fn copied(installed: &Path, root: &Path) -> PathBuf {
    let package = installed.parent().unwrap();
    let copy = root.join("site").join(package.file_name().unwrap());
    fs::create_dir_all(&copy).unwrap();
    let libraries = package.with_extension("libs");
    for (from, to) in [(installed, &*copy), (&libraries, &root.join("site"))] {
        let status = Command::new("cp").arg("-r").args([from, to]).status();
        assert!(status.unwrap().success());
    }
    copy.join(installed.file_name().unwrap()).join("bin")
}
