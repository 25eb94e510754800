//! Redis, or what speaks its protocol.

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::process::Process;
use crate::told;

/// A running server.
#[derive(Debug)]
pub struct RedisServer {
    _process: Process,
    port: u16,
}

impl RedisServer {
    /// A server of its own; `None` where none is installed.
    ///
    /// # Panics
    ///
    /// If one is installed and does not start.
    pub fn start() -> Option<Self> {
        let program = told("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        Command::new(&program).arg("--version").output().ok()?;
        // Redis can't choose a port by itself.
        let port = TcpListener::bind("127.0.0.1:0")
            .ok()?
            .local_addr()
            .ok()?
            .port();
        let mut command = Process::command(program, "TERM");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        let process = Process::start(&mut command);
        let process = process.wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self {
            _process: process,
            port,
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
