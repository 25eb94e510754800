//! Datadog's APM test agent (PyPI `ddapm-test-agent`): starts it, and ends it when dropped.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::python::Package;
use crate::{Outcome, style, workspace};

/// In the version that the conformance tests are written for.
const PACKAGE: Package = Package {
    name: "ddapm-test-agent",
    version: VERSION,
    module: "ddapm_test_agent.agent",
};

pub(crate) const VERSION: &str = "1.69.1";

/// All checks that it does on every trace request; a failed one is answered 400
/// (dd-apm-test-agent: `ddapm_test_agent/trace_checks.py`).
const CHECKS: &str = "trace_count_header,meta_tracer_version_header,trace_content_length,trace_stall,meta_events_is_valid_json";

const START_LIMIT: Duration = Duration::from_secs(60);

/// Another program may take a port between choosing and using it.
const START_TRIES: u32 = 3;

/// A running test agent.
pub(crate) struct TestAgent {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
    /// Not under `target/`: paths of sockets are limited to about 100 bytes.
    socket_dir: TempDir,
}

impl TestAgent {
    /// Installs it if need be, starts it, and waits until it answers.
    pub(crate) fn start() -> Outcome<Self> {
        let python = PACKAGE.install()?;
        eprintln!("{} ddapm-test-agent {VERSION}", style::step("starting"));
        let mut tries = 1;
        loop {
            let agent = Self::spawn(&python)?;
            match agent.wait_until_ready() {
                Ok(agent) => return Ok(agent),
                Err(error) if tries == START_TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// Its address for HTTP.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its Unix socket for HTTP.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_dir.path().join("apm.sock")
    }

    /// What it wrote about its work, with a line for each request.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// How many payloads clients have sent it so far, by its own log.
    pub(crate) fn payloads(&self) -> io::Result<usize> {
        let log = fs::read_to_string(&self.log)?;
        let is_payload = |line: &&str| line.contains("\"POST /") || line.contains("\"PUT /");
        Ok(log.lines().filter(is_payload).count())
    }

    fn spawn(python: &Path) -> Outcome<Self> {
        let scratch = workspace::scratch()?;
        let log = scratch.join("ddapm-test-agent.log");
        let output = File::create(&log)?;
        let socket_dir = tempfile::Builder::new().prefix("datadog-").tempdir()?;
        let [port, otlp_http_port, otlp_grpc_port] = free_ports()?;
        let process = Command::new(python)
            .args(["-I", "-c", include_str!("test_agent.py")])
            .arg(socket_dir.path())
            .args(["--port", &port.to_string()])
            .args(["--otlp-http-port", &otlp_http_port.to_string()])
            .args(["--otlp-grpc-port", &otlp_grpc_port.to_string()])
            .arg("--snapshot-dir")
            .arg(&scratch)
            // Any text but the empty one switches it on.
            .args(["--pool-trace-check-failures", "true"])
            // Most of its options can also be set by variables, and an API key makes it call Datadog: give it none.
            .env_clear()
            // The option of this name is broken.
            .env("ENABLED_CHECKS", CHECKS)
            .current_dir(&scratch)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self {
            process,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            log,
            socket_dir,
        })
    }

    fn wait_until_ready(mut self) -> Outcome<Self> {
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            let answers = self.answers();
            if let Some(status) = self.process.try_wait()? {
                return Err(self.start_error(&format!("ended with {status}")));
            }
            if answers {
                return Ok(self);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let seconds = START_LIMIT.as_secs();
        Err(self.start_error(&format!("did not answer within {seconds} s")))
    }

    /// Whether `GET /info` is answered as this agent answers it.
    fn answers(&self) -> bool {
        let limit = Duration::from_secs(5);
        let ask = || -> io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.address, limit)?;
            stream.set_read_timeout(Some(limit))?;
            stream.write_all(b"GET /info HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| {
            answer.contains(" 200 OK")
                && answer.contains("\"/v0.4/traces\"")
                && self.socket().exists()
        })
    }

    fn start_error(&self, what: &str) -> Box<dyn std::error::Error> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let path = self.log.display();
        format!("the APM test agent {what}; it wrote, in {path}:\n{log}").into()
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports that were free a moment ago; it can't be told to find its own.
fn free_ports() -> io::Result<[u16; 3]> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // All are held until all are found, so that they differ.
    let [a, b, c] = [
        TcpListener::bind(any)?,
        TcpListener::bind(any)?,
        TcpListener::bind(any)?,
    ];
    Ok([
        a.local_addr()?.port(),
        b.local_addr()?.port(),
        c.local_addr()?.port(),
    ])
}
