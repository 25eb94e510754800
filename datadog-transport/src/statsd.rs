//! The socket to a DogStatsD server.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::DogStatsDUrl;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::LookUp;

/// The largest datagram over UDP: fits an Ethernet frame with room for tunnels (datadog-go: `statsd/options.go`).
const UDP_DATAGRAM_BYTES: usize = 1432;

/// The largest datagram over a Unix socket: the server's buffer (datadog-agent: `dogstatsd_buffer_size`).
const UNIX_DATAGRAM_BYTES: usize = 8192;

/// How long one datagram may wait for room in a Unix socket's buffer (datadog-go: `statsd/options.go`).
const WRITE_LIMIT: Duration = Duration::from_millis(100);

/// The most bytes that leave over UDP at once …
const BURST_BYTES: usize = 16 << 10;

/// … and how long they take at least: 64 KiB a millisecond. A server's usual buffer holds about 90 full datagrams (Linux:
/// `net.core.rmem_default`), and what does not fit is lost unseen, so a flush of many is not to outrun its reader.
const BURST_TIME: Duration = Duration::from_micros(250);

/// How long the first look-up of a host's name may take; a later one goes on beside the sending.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(1);

/// The path is a socket of the other type (`EPROTOTYPE`).
const WRONG_TYPE: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    91
} else {
    41
};

/// How long the address of a host's name is believed.
const REMEMBER: Duration = Duration::from_secs(60);

/// A socket to a DogStatsD server. It connects when it is first used, and again after an error.
#[derive(Debug)]
pub struct StatsdSocket {
    url: DogStatsDUrl,
    /// Of a UDP server's name.
    look_up: Option<LookUp>,
    connection: Option<Connection>,
    /// Device and inode of the socket file that the connection was made to.
    file: Option<(u64, u64)>,
    /// When the connection was made.
    since: Option<Instant>,
    pace: Pace,
}

/// Why a datagram was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum StatsdError {
    /// Nothing listens at the address or socket path.
    NotListening(String),
    /// The server's buffer is full.
    Full,
    /// The datagram is larger than the socket takes.
    TooLarge,
    /// Anything else.
    Other(String),
}

#[derive(Debug)]
enum Connection {
    Udp(UdpSocket),
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl StatsdSocket {
    /// A socket to the server at `url`, not connected yet.
    pub fn new(url: &DogStatsDUrl) -> Self {
        Self {
            url: url.clone(),
            look_up: match url {
                DogStatsDUrl::Udp { host, port } => Some(LookUp::of(host, *port)),
                _ => None,
            },
            connection: None,
            file: None,
            since: None,
            pace: Pace::default(),
        }
    }

    /// Where it connects to.
    pub fn url(&self) -> &DogStatsDUrl {
        &self.url
    }

    /// Lets go of a Unix socket whose path belongs to another socket by now, so that the next send connects anew.
    ///
    /// An agent that restarts replaces its socket file, and what is sent to the old one may vanish without an error
    /// (datadog-agent: `comp/dogstatsd/listeners/uds_common.go`). To be called before each burst of datagrams.
    ///
    /// Over UDP nobody tells that a server moved: there, a host's name is looked up again every minute.
    pub fn forget_replaced(&mut self) {
        if self.connection.is_some() && self.file_now() != self.file {
            self.connection = None;
        }
        if let DogStatsDUrl::Udp { host, .. } = &self.url
            && host.parse::<IpAddr>().is_err()
            && self.since.is_some_and(|since| since.elapsed() >= REMEMBER)
            && let Ok(fresh) = self.connect(Duration::ZERO)
        {
            self.connected(fresh);
        }
    }

    /// The most bytes that one datagram should have.
    pub fn datagram_bytes(&self) -> usize {
        match self.url {
            DogStatsDUrl::Udp { .. } => UDP_DATAGRAM_BYTES,
            _ => UNIX_DATAGRAM_BYTES,
        }
    }

    /// Sends one datagram of whole lines. Where the server has gone since the last one, it connects once more and
    /// sends the same datagram. Over UDP it waits so long, if need be, that at most 64 KiB leave in a millisecond.
    ///
    /// # Errors
    ///
    /// A [`StatsdError`] where the operating system did not take the datagram. UDP tells of a closed port only
    /// where the network says so, as loopback does.
    pub fn send(&mut self, datagram: &[u8]) -> Result<(), StatsdError> {
        if matches!(self.url, DogStatsDUrl::Udp { .. }) {
            thread::sleep(self.pace.wait(datagram.len(), Instant::now()));
        }
        let was_connected = self.connection.is_some();
        let mut result = self.try_send(datagram);
        if was_connected && result.as_ref().is_err_and(gone) {
            result = self.try_send(datagram);
        }
        result.map_err(|error| self.explain(&error))
    }

    fn try_send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if self.connection.is_none() {
            // Looked at first: a file replaced meanwhile is then noticed later.
            self.file = self.file_now();
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let fresh = self.connect(LOOK_UP_LIMIT)?;
                self.connected(fresh)
            }
        };
        let result = connection.send(datagram);
        // A stream that took half of a frame can't be used any more; a full datagram socket is still good.
        if let Err(error) = &result
            && (gone(error) || matches!(connection, Connection::Stream(_)))
        {
            self.connection = None;
        }
        result
    }

    fn connect(&mut self, look_up_limit: Duration) -> io::Result<Connection> {
        match (&mut self.look_up, &self.url) {
            (Some(look_up), _) => {
                // Of another kind than what sending comes to.
                let addresses = look_up.addresses(look_up_limit).map_err(io::Error::other)?;
                connect_udp(&addresses).map(Connection::Udp)
            }
            (None, url) => connect_unix(url),
        }
    }

    fn connected(&mut self, connection: Connection) -> &mut Connection {
        self.since = Some(Instant::now());
        self.connection.insert(connection)
    }

    fn file_now(&self) -> Option<(u64, u64)> {
        let (DogStatsDUrl::Unix(path)
        | DogStatsDUrl::UnixDatagram(path)
        | DogStatsDUrl::UnixStream(path)) = &self.url
        else {
            return None;
        };
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    }

    fn explain(&self, error: &io::Error) -> StatsdError {
        // EMSGSIZE has no stable `ErrorKind`; it is 90 on Linux and 40 on macOS and the BSDs.
        let too_large = if cfg!(any(target_os = "linux", target_os = "android")) {
            90
        } else {
            40
        };
        match error.kind() {
            _ if error.raw_os_error() == Some(too_large) => StatsdError::TooLarge,
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                StatsdError::NotListening(format!("nothing listens on {}: {error}", self.url))
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => StatsdError::Full,
            _ => StatsdError::Other(format!("{}: {error}", self.url)),
        }
    }
}

impl Connection {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => {
                within_limit(|| socket.send(datagram))?;
                // On loopback the kernel knows at once that nobody listens, and says so only when asked.
                socket.take_error()?.map_or(Ok(()), Err)
            }
            Self::Datagram(socket) => within_limit(|| socket.send(datagram)).map(drop),
            Self::Stream(stream) => {
                let length =
                    u32::try_from(datagram.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
                let mut frame = Vec::with_capacity(4 + datagram.len());
                frame.extend_from_slice(&length.to_le_bytes());
                frame.extend_from_slice(datagram);
                let mut rest = frame.as_slice();
                within_limit(|| {
                    while !rest.is_empty() {
                        let written = write(stream, rest)?;
                        rest = &rest[written..];
                    }
                    Ok(())
                })
            }
        }
    }
}

/// How much was sent of late.
#[derive(Debug, Default)]
struct Pace {
    /// When the burst began that the bytes belong to.
    since: Option<Instant>,
    bytes: usize,
}

impl Pace {
    /// How long a datagram of `bytes` has to wait that is to be sent at `now`.
    fn wait(&mut self, bytes: usize, now: Instant) -> Duration {
        let since = self.since.filter(|since| now < *since + BURST_TIME);
        self.bytes = since.map_or(0, |_| self.bytes) + bytes;
        match since {
            Some(since) if self.bytes > BURST_BYTES => {
                self.bytes = bytes;
                let next = since + BURST_TIME;
                self.since = Some(next);
                next - now
            }
            Some(_) => Duration::ZERO,
            None => {
                self.since = Some(now);
                Duration::ZERO
            }
        }
    }
}

fn connect_unix(url: &DogStatsDUrl) -> io::Result<Connection> {
    match url {
        DogStatsDUrl::UnixDatagram(path) => connect_datagram(path).map(Connection::Datagram),
        DogStatsDUrl::UnixStream(path) => connect_stream(path).map(Connection::Stream),
        DogStatsDUrl::Unix(path) => match connect_datagram(path) {
            Err(error) if error.raw_os_error() == Some(WRONG_TYPE) => {
                connect_stream(path).map(Connection::Stream)
            }
            outcome => outcome.map(Connection::Datagram),
        },
        DogStatsDUrl::Udp { .. } => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Writes to a stream. Where the server is gone this is an error, not a signal that would end the program.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn write(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    SockRef::from(stream).send_with_flags(bytes, libc::MSG_NOSIGNAL)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn write(mut stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    // The socket was made with `SO_NOSIGPIPE`, where there is such a thing.
    io::Write::write(&mut stream, bytes)
}

fn connect_udp(addresses: &[SocketAddr]) -> io::Result<UdpSocket> {
    // A datagram to a name's unused address family vanishes, and servers listen on IPv4 first.
    let address = addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| addresses.first());
    let address = address.ok_or(io::ErrorKind::NotFound)?;
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

fn connect_datagram(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(WRITE_LIMIT))?;
    socket.connect(path)?;
    Ok(socket)
}

fn connect_stream(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Set first, because it limits the connect too.
    socket.set_write_timeout(Some(WRITE_LIMIT))?;
    let address = SockAddr::unix(path)?;
    within_limit(|| socket.connect(&address))?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

/// Makes a call again that a signal interrupted. The kernel's own time limit starts anew with each call, so under a
/// profiler's signals it alone would never end one.
fn within_limit<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let start = Instant::now();
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                if start.elapsed() >= WRITE_LIMIT {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            result => return result,
        }
    }
}

/// Whether the server went away, so that a new connection may help.
fn gone(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, NotFound,
    };
    matches!(
        error.kind(),
        ConnectionRefused
            | ConnectionReset
            | ConnectionAborted
            | NotConnected
            | NotFound
            | BrokenPipe
    )
}

impl fmt::Display for StatsdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListening(text) | Self::Other(text) => f.write_str(text),
            Self::Full => f.write_str("the DogStatsD server's buffer is full"),
            Self::TooLarge => f.write_str("the datagram is larger than the socket takes"),
        }
    }
}

impl std::error::Error for StatsdError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full socket empties by itself, and a new connection to it would be as full.
    #[test]
    fn a_full_server_keeps_its_connection() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dsd.socket");
        let server = UnixDatagram::bind(&path).unwrap();
        let mut socket = StatsdSocket::new(&DogStatsDUrl::UnixDatagram(path));
        let full = loop {
            if let Err(error) = socket.send(b"hits:1|c\n") {
                break error;
            }
        };
        assert!(matches!(full, StatsdError::Full), "{full}");
        let since = socket.since;
        assert!(socket.connection.is_some());
        server.recv(&mut [0; 100]).unwrap();
        socket.send(b"hits:1|c\n").unwrap();
        assert_eq!(socket.since, since, "it is the same connection");
    }

    /// A frame that was written in part can't be taken back, and the next one would be read as its end.
    #[test]
    fn a_full_stream_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dsd.stream.socket");
        let _server = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut socket = StatsdSocket::new(&DogStatsDUrl::UnixStream(path));
        let full = loop {
            if let Err(error) = socket.send(&[b'x'; 8192]) {
                break error;
            }
        };
        assert!(matches!(full, StatsdError::Full), "{full}");
        assert!(socket.connection.is_none());
    }

    #[test]
    fn a_burst_is_followed_by_a_wait_and_a_trickle_by_none() {
        let mut pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.wait(BURST_BYTES, start), Duration::ZERO);
        let soon = start + BURST_TIME / 5;
        assert_eq!(pace.wait(1432, soon), BURST_TIME * 4 / 5);
        // The wait's end begins the next burst.
        let next = start + BURST_TIME;
        assert_eq!(pace.wait(BURST_BYTES - 1432, next), Duration::ZERO);
        assert_eq!(pace.wait(1, next), BURST_TIME);

        let mut now = next + BURST_TIME * 2;
        for _ in 0..100 {
            assert_eq!(pace.wait(BURST_BYTES, now), Duration::ZERO);
            now += BURST_TIME;
        }
    }

    #[test]
    fn no_millisecond_gets_more_than_its_share() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let mut now = start;
        for _ in 0..1000 {
            now += pace.wait(1432, now);
        }
        let least = BURST_TIME * (1000 * 1432 / BURST_BYTES - 1) as u32;
        assert!(now - start >= least, "{:?}", now - start);
    }
}
