//! HTTP over a Unix stream socket: a connector for ureq.
//!
//! `ureq::unversioned` may change between minor releases; this file, `http.rs` and `resolve.rs` are the only ones
//! that use it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use ureq::Error;
use ureq::unversioned::transport::time::Duration as Limit;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};

/// Opens one socket path, whatever host the URI names.
#[derive(Debug)]
pub(crate) struct UnixConnector {
    path: PathBuf,
}

pub(crate) struct UnixTransport {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

/// Shared with the agent, so that its shutdown can end a read or write that hangs.
struct Stream(UnixStream);

impl UnixConnector {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<UnixTransport>, Error> {
        let stream = Arc::new(Stream(within(details.timeout, |left| {
            connect(&self.path, left)
        })?));
        let handle: Weak<dyn ShutdownHandle> = Arc::downgrade(&stream) as _;
        (details.register_shutdown)(handle)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

/// The standard library knows no time limit for connecting to a Unix socket, and waits for ever at a listener
/// whose backlog is full; the kernel heeds the send limit that is set before.
fn connect(path: &Path, left: Option<Duration>) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(left)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut stream = &self.stream.0;
        let mut output = &self.buffers.output()[..amount];
        while !output.is_empty() {
            let written = within(timeout, |left| {
                stream.set_write_timeout(left)?;
                stream.write(output)
            })?;
            output = &output[written..];
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let mut stream = &self.stream.0;
        let input = self.buffers.input_append_buf();
        let amount = within(timeout, |left| {
            stream.set_read_timeout(left)?;
            stream.read(input)
        })?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A healthy idle connection has nothing to read, and is not at its end.
        let mut stream = &self.stream.0;
        let idle = stream.set_nonblocking(true).is_ok()
            && stream
                .read(&mut [0])
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        idle && stream.set_nonblocking(false).is_ok()
    }
}

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // An error means that it is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Does one system call within `timeout`. A call that a signal interrupts is made again with the time that is
/// left: Linux restarts no socket call that has a time limit, and a profiler sends signals all the time.
fn within<T>(
    timeout: NextTimeout,
    mut call: impl FnMut(Option<Duration>) -> io::Result<T>,
) -> Result<T, Error> {
    let deadline = match timeout.after {
        Limit::Exact(after) => Some(Instant::now() + after),
        Limit::NotHappening => None,
    };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Error::Timeout(timeout.reason));
        }
        #[cfg(test)]
        tests::CALLS.set(tests::CALLS.get() + 1);
        match call(left) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Err(Error::Timeout(timeout.reason));
            }
            result => return result.map_err(Error::Io),
        }
    }
}

impl fmt::Debug for UnixTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixTransport").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use datadog_local_agent::LocalAgent;

    use crate::Headers;
    use crate::http::HttpClient;

    thread_local! {
        /// System calls that this thread made to connect, read or write, each with one that sets its time limit.
        pub(super) static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn a_request_on_a_kept_connection_takes_two_writes_and_one_read() {
        let agent = LocalAgent::start().unwrap();
        let client = HttpClient::unix(agent.trace_socket(), Headers::new());
        // As large as the traces of a busy second.
        let body = vec![b' '; 10_000];
        let post = || {
            let limit = std::time::Duration::from_secs(20);
            let answer = client.post("/no/such/endpoint", &Headers::new(), &body, limit);
            assert_eq!(answer.unwrap().status(), 404);
        };
        post();
        let before = CALLS.get();
        (0..10).for_each(|_| post());
        assert_eq!(CALLS.get() - before, 10 * 3);
    }
}
