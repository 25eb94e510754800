//! Where lines go.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::LogsOutput;
use datadog_transport::LookUp;

use crate::stdout::Stdout;

/// The largest datagram that the agent reads whole, unless it is told otherwise
/// (datadog-agent: `pkg/config/setup/config.go`, `logs_config.frame_size`).
const MAX_DATAGRAM: usize = 9000;

/// A connection has to be made, and has to take something, within this time.
const LIMIT: Duration = Duration::from_secs(1);

/// A receiver of lines.
#[derive(Debug)]
pub(crate) enum Destination {
    Stdout(Stdout),
    File {
        path: PathBuf,
        file: Option<File>,
    },
    Tcp {
        host: String,
        port: u16,
        look_up: LookUp,
        stream: Option<TcpStream>,
    },
    Udp {
        host: String,
        port: u16,
        look_up: LookUp,
        socket: Option<UdpSocket>,
    },
}

/// What became of the first bytes of what was to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The receiver has this many.
    Sent(usize),
    /// This many can't be sent.
    TooLarge(usize),
}

impl Destination {
    /// The destination of an output that takes lines.
    pub(crate) fn of(output: &LogsOutput) -> Option<Self> {
        match output {
            LogsOutput::Stdout => Some(Self::Stdout(Stdout::default())),
            LogsOutput::File(path) => Some(Self::File {
                path: path.clone(),
                file: None,
            }),
            LogsOutput::Tcp { host, port } => Some(Self::Tcp {
                host: host.clone(),
                port: *port,
                look_up: LookUp::of(host, *port),
                stream: None,
            }),
            LogsOutput::Udp { host, port } => Some(Self::Udp {
                host: host.clone(),
                port: *port,
                look_up: LookUp::of(host, *port),
                socket: None,
            }),
            _ => None,
        }
    }

    /// Opens what is not open yet, and a file anew that was moved away. Whether the reader is a new one.
    pub(crate) fn open(&mut self, deadline: Instant) -> io::Result<bool> {
        match self {
            Self::Stdout(stdout) => {
                stdout.open();
                Ok(false)
            }
            Self::File { path, file } => {
                if file.as_ref().is_some_and(|file| is_at(file, path)) {
                    return Ok(false);
                }
                *file = Some(OpenOptions::new().append(true).create(true).open(path)?);
                Ok(true)
            }
            Self::Tcp {
                stream: Some(_), ..
            }
            | Self::Udp {
                socket: Some(_), ..
            } => Ok(false),
            Self::Tcp {
                look_up, stream, ..
            } => {
                *stream = Some(connect(&look_up.addresses(left(deadline))?, deadline)?);
                Ok(true)
            }
            Self::Udp {
                look_up, socket, ..
            } => {
                *socket = Some(bind(&look_up.addresses(left(deadline))?)?);
                Ok(true)
            }
        }
    }

    /// Writes some of `lines`, until `deadline`. After an error a connection has to be opened again.
    pub(crate) fn write(&mut self, lines: &[u8], deadline: Instant) -> io::Result<Written> {
        let outcome = match self {
            Self::Stdout(stdout) => wait(deadline, || stdout.write(lines)).map(Written::Sent),
            Self::File { file, .. } => file
                .as_mut()
                .ok_or_else(closed)?
                .write(lines)
                .map(Written::Sent),
            Self::Tcp { stream, .. } => {
                let stream = stream.as_mut().ok_or_else(closed)?;
                stream
                    .set_write_timeout(Some(left(deadline)))
                    .and_then(|()| stream.write(lines))
                    .map(Written::Sent)
            }
            Self::Udp { socket, .. } => {
                let socket = socket.as_ref().ok_or_else(closed)?;
                socket
                    .set_write_timeout(Some(left(deadline)))
                    .and_then(|()| send_line(socket, lines))
            }
        };
        match outcome {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Written::Sent(0)),
            Ok(Written::Sent(0)) => Err(ErrorKind::WriteZero.into()),
            Ok(written) => Ok(written),
            Err(error) => {
                self.disconnect();
                Err(error)
            }
        }
    }

    /// Passes on what the process itself still holds.
    pub(crate) fn flush(&self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            _ => Ok(()),
        }
    }

    fn disconnect(&mut self) {
        match self {
            Self::Tcp { stream, .. } => *stream = None,
            Self::Udp { socket, .. } => *socket = None,
            // What was written of a line stays there, so the rest has to follow it.
            Self::Stdout(_) | Self::File { .. } => {}
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout(_) => f.write_str("the standard output"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Udp { host, port, .. } => write!(f, "udp://{host}:{port}"),
        }
    }
}

/// Writes again and again until there is room, within the limit of one call.
fn wait(deadline: Instant, mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    let end = Instant::now() + left(deadline);
    loop {
        match write() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let text = "its reader takes nothing";
                return Err(io::Error::new(ErrorKind::WouldBlock, text));
            }
            outcome => return outcome,
        }
    }
}

/// Sends the first line without its end.
fn send_line(socket: &UdpSocket, lines: &[u8]) -> io::Result<Written> {
    let line = lines
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let taken = (line.len() + 1).min(lines.len());
    if line.len() > MAX_DATAGRAM {
        return Ok(Written::TooLarge(taken));
    }
    socket.send(line)?;
    Ok(Written::Sent(taken))
}

fn connect(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut outcome = Err(ErrorKind::NotFound.into());
    for address in addresses {
        outcome = TcpStream::connect_timeout(address, left(deadline));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn bind(addresses: &[SocketAddr]) -> io::Result<UdpSocket> {
    let any: SocketAddr = if addresses.iter().any(SocketAddr::is_ipv4) {
        ([0, 0, 0, 0], 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(addresses)?;
    Ok(socket)
}

/// The time limit of one call to a socket, which may not be 0.
fn left(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.clamp(Duration::from_millis(1), LIMIT)
}

fn closed() -> io::Error {
    ErrorKind::NotConnected.into()
}

/// Whether `path` still leads to the open file: log rotation moves files away.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Only Unix tells files apart by a number; elsewhere an open file can't be moved away anyway.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}
