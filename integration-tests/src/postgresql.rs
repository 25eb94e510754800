//! PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::Process;
use crate::told;

/// Names the directory of an installation.
const VARIABLE: &str = "POSTGRESQL";

/// A running server.
#[derive(Debug)]
pub struct PostgreSql {
    _process: Process,
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
        let user = (fs::metadata(root).unwrap().uid() == 0).then(other_user);
        if let Some((user, group)) = user {
            chown(root, Some(user), Some(group)).unwrap();
        }
        let programs = match user {
            // The user can't look everywhere.
            Some(_) if told(VARIABLE).is_some() => copied(&installed, root),
            _ => installed.join("bin"),
        };
        let data = root.join("data");
        let as_user = |mut command: Command| {
            command.current_dir(root).arg("-D").arg(&data);
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command
        };
        let made = as_user(Command::new(programs.join("initdb")))
            .args(["--no-sync", "--auth=trust", "--username=shop"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "initdb, {}: {said}", made.status);
        // Told to quit, it ends its own processes, and gives back the memory that it shares with them.
        let mut server = as_user(Process::command(programs.join("postgres"), "QUIT"));
        server
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(root);
        let state = data.join("postmaster.pid");
        let process = Process::start(&mut server);
        let process = process.wait_until(|| is_ready(&state));
        Some(Self {
            _process: process,
            directory,
        })
    }

    /// The directory of its socket.
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Whether the server takes queries, by what it tells `pg_ctl` (PostgreSQL: `src/include/utils/pidfile.h`). It takes connections
/// before that, and refuses them.
fn is_ready(state: &Path) -> bool {
    let lines = fs::read_to_string(state).unwrap_or_default();
    lines.lines().nth(7).map(str::trim) == Some("ready")
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

/// Whom it may run as: the user and the group of `nobody`, else of another but root. It asks for the name, so it has to be one
/// that the system knows.
fn other_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let users: Vec<_> = users.lines().filter_map(entry).collect();
    let nobody = users.iter().find(|(name, ..)| *name == "nobody");
    let other = nobody.or_else(|| users.iter().find(|(_, user, _)| *user != 0));
    let (_, user, group) = other.expect("a user that is not root");
    (*user, *group)
}

/// Name, user and group of a line such as `nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin`.
fn entry(line: &str) -> Option<(&str, u32, u32)> {
    let mut parts = line.split(':');
    let name = parts.next()?;
    let mut number = |at| parts.nth(at)?.parse().ok();
    Some((name, number(1)?, number(0)?))
}

/// The programs of a Python package, copied with the libraries beside it to where the user may look.
fn copied(installed: &Path, root: &Path) -> PathBuf {
    let package = installed.parent().unwrap();
    let copy = root.join("site").join(package.file_name().unwrap());
    fs::create_dir_all(&copy).unwrap();
    let copy_into = |from: &Path, to: &Path| {
        let status = Command::new("cp").arg("-r").args([from, to]).status();
        assert!(status.unwrap().success());
    };
    copy_into(installed, &copy);
    // Not every package has them.
    let libraries = package.with_extension("libs");
    if libraries.exists() {
        copy_into(&libraries, &root.join("site"));
    }
    copy.join(installed.file_name().unwrap()).join("bin")
}
