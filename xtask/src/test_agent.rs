//! Datadog's APM test agent (PyPI `ddapm-test-agent`): installs it, starts it, and ends it when dropped.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Outcome, style, workspace};

/// The version that the conformance tests are written for.
pub(crate) const VERSION: &str = "1.69.1";

/// The Python client that the conformance tests send traces through (PyPI `ddtrace`).
const PEER_VERSION: &str = "4.16.0";

/// All checks that it does on every trace request; a failed one is answered 400
/// (dd-apm-test-agent: `ddapm_test_agent/trace_checks.py`).
const CHECKS: &str = "trace_count_header,meta_tracer_version_header,trace_content_length,trace_stall,meta_events_is_valid_json";

const START_LIMIT: Duration = Duration::from_secs(60);

/// Another program may take a port between choosing and using it.
const START_TRIES: u32 = 3;

/// A running test agent.
pub(crate) struct TestAgent {
    process: Child,
    python: PathBuf,
    address: SocketAddr,
    log: PathBuf,
    /// Not under `target/`: paths of sockets are limited to about 100 bytes.
    socket_dir: TempDir,
}

impl TestAgent {
    /// Installs it if need be, starts it, and waits until it answers.
    pub(crate) fn start() -> Outcome<Self> {
        let python = install()?;
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

    /// A Python that has `ddtrace`.
    pub(crate) fn python(&self) -> &Path {
        &self.python
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
            python: python.to_owned(),
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

/// Makes sure that there is a virtual environment with the agent in it. Returns its Python.
fn install() -> Outcome<PathBuf> {
    let scratch = workspace::scratch()?;
    let venv = scratch.join(format!("ddapm-test-agent-{VERSION}-ddtrace-{PEER_VERSION}"));
    let python = venv.join("bin/python3");
    if is_installed(&python) {
        return Ok(python);
    }
    eprintln!(
        "{} ddapm-test-agent {VERSION} and ddtrace {PEER_VERSION} from PyPI into {} (once; up to a minute)",
        style::step("installing"),
        venv.display(),
    );
    // Built beside its place and moved there when complete, so that an interrupted installation is never taken for one.
    let unfinished = tempfile::Builder::new()
        .prefix("venv-")
        .tempdir_in(&scratch)?;
    create_venv(unfinished.path())?;
    let unfinished_python = unfinished.path().join("bin/python3");
    install_packages(&unfinished_python)?;
    if !is_installed(&unfinished_python) {
        return Err(
            format!("pip ended well, but ddapm-test-agent {VERSION} and ddtrace {PEER_VERSION} can't be imported").into(),
        );
    }
    if venv.exists() {
        fs::remove_dir_all(&venv)?;
    }
    fs::rename(unfinished.keep(), &venv)?;
    Ok(python)
}

fn is_installed(python: &Path) -> bool {
    // Not imported: ddtrace would start to work.
    let code = "import importlib.metadata, ddapm_test_agent.agent; print(*map(importlib.metadata.version, ('ddapm-test-agent', 'ddtrace')))";
    let output = Command::new(python).args(["-I", "-c", code]).output();
    output.is_ok_and(|output| {
        let versions = format!("{VERSION} {PEER_VERSION}");
        output.status.success() && output.stdout.trim_ascii() == versions.as_bytes()
    })
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

fn install_packages(python: &Path) -> Outcome {
    let status = Command::new(python)
        .args([
            "-I",
            "-m",
            "pip",
            "install",
            "--no-input",
            "--progress-bar",
            "off",
        ])
        .args([
            "--disable-pip-version-check",
            &format!("ddapm-test-agent=={VERSION}"),
            &format!("ddtrace=={PEER_VERSION}"),
        ])
        // Standard output is for the tests' results.
        .stdout(io::stderr())
        .status()
        .map_err(|error| format!("can't run pip ({error})"))?;
    if status.success() {
        return Ok(());
    }
    Err("pip could not install the test agent, see above; it needs the network once".into())
}
