//! The process of a server.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to start.
const LIMIT: Duration = Duration::from_secs(20);

/// Becomes the server, beside a process that waits for the end of the input, which is there as long as the test is, and then
/// sends the signal. Both are there before the server is, so that it never runs without.
const SERVE: &str = r#"
exec 3<&0
{ trap "" INT TERM; read -r line; kill -s "$0" $$; } <&3 >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

/// A server that ends with this: when it is dropped, and when the test is killed.
#[derive(Debug)]
pub(crate) struct Process {
    server: Child,
    output: File,
}

impl Process {
    /// A command for [`start`](Self::start). The signal, such as `TERM`, is what tells the server to end.
    pub(crate) fn command(program: impl AsRef<OsStr>, signal: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", SERVE, signal]).arg(program);
        command
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let output = tempfile::tempfile().unwrap();
        let server = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap())
            .spawn()
            .unwrap();
        Self { server, output }
    }

    /// Waits until the server takes connections: it has no other way to tell.
    ///
    /// # Panics
    ///
    /// With what it wrote, if it ends instead or takes too long.
    pub(crate) fn wait_until(mut self, is_ready: impl Fn() -> bool) -> Self {
        let started = Instant::now();
        loop {
            if let Some(status) = self.server.try_wait().unwrap() {
                panic!("the server ended, {status}: {}", self.written());
            }
            if is_ready() {
                return self;
            }
            let late = started.elapsed() > LIMIT;
            assert!(!late, "the server does not listen: {}", self.written());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn written(&mut self) -> String {
        let mut text = Vec::new();
        self.output.rewind().unwrap();
        self.output.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let started = Instant::now();
        while started.elapsed() < LIMIT && matches!(self.server.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(1));
        }
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Process::command("sh", "QUIT");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    #[should_panic(expected = "the server ended, exit status: 3: no room")]
    fn a_server_that_ends_at_once_is_told_with_what_it_wrote() {
        Process::start(&mut shell("echo no room; exit 3")).wait_until(|| false);
    }

    #[test]
    fn a_server_may_end_as_it_likes() {
        let directory = tempfile::tempdir().unwrap();
        let [ready, ended] = ["ready", "ended"].map(|name| directory.path().join(name));
        let script =
            r#"trap "echo orderly > ended; exit" QUIT; echo > ready; while :; do sleep 0.01; done"#;
        let process = Process::start(shell(script).current_dir(directory.path()));
        drop(process.wait_until(|| ready.exists()));
        assert_eq!(fs::read_to_string(ended).unwrap(), "orderly\n");
    }
}
