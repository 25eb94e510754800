//! The five sockets: bound, held back while the agent is stopped, bound again.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};

/// Where the agent listens.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) http: SocketAddr,
    pub(crate) dogstatsd: SocketAddr,
    pub(crate) trace_socket: PathBuf,
    pub(crate) dogstatsd_socket: PathBuf,
    pub(crate) dogstatsd_stream_socket: PathBuf,
}

/// The listening sockets.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) http: TcpListener,
    pub(crate) dogstatsd: UdpSocket,
    pub(crate) trace: UnixListener,
    pub(crate) dogstatsd_unix: UnixDatagram,
    pub(crate) dogstatsd_stream: UnixListener,
}

impl Sockets {
    /// Binds all five, non-blocking. A socket file left behind by another process is replaced, as the Agent does.
    pub(crate) fn bind(places: &Places) -> Result<Self, StartError> {
        let http = TcpListener::bind(places.http)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| StartError::new(format!("HTTP on {}", places.http), error))?;
        let dogstatsd = UdpSocket::bind(places.dogstatsd)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| {
                StartError::new(format!("DogStatsD on UDP {}", places.dogstatsd), error)
            })?;
        let trace = listen("HTTP", &places.trace_socket)?;
        let dogstatsd_stream = listen("DogStatsD", &places.dogstatsd_stream_socket)?;
        let dogstatsd_unix = remove_socket(&places.dogstatsd_socket)
            .and_then(|()| UnixDatagram::bind(&places.dogstatsd_socket))
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| {
                let place = places.dogstatsd_socket.display();
                StartError::new(format!("DogStatsD on {place}"), error)
            })?;
        Ok(Self {
            http,
            dogstatsd,
            trace,
            dogstatsd_unix,
            dogstatsd_stream,
        })
    }

    /// The same places, with the ports that the system chose.
    pub(crate) fn bound(&self, places: Places) -> io::Result<Places> {
        Ok(Places {
            http: self.http.local_addr()?,
            dogstatsd: self.dogstatsd.local_addr()?,
            ..places
        })
    }
}

impl Places {
    /// Removes the socket files.
    pub(crate) fn remove_sockets(&self) {
        // A file that is gone or can't be removed is no reason to fail here; binding again will tell.
        let _ = remove_socket(&self.trace_socket);
        let _ = remove_socket(&self.dogstatsd_socket);
        let _ = remove_socket(&self.dogstatsd_stream_socket);
    }
}

/// A Unix stream socket for `what`.
fn listen(what: &str, path: &Path) -> Result<UnixListener, StartError> {
    remove_socket(path)
        .and_then(|()| UnixListener::bind(path))
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .map_err(|error| StartError::new(format!("{what} on {}", path.display()), error))
}

fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        // Not ours to remove: binding will say that it is in use.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps both ports from being given to others while the agent refuses connections.
///
/// A TCP socket that is bound but does not listen refuses; a UDP socket connected to a peer that never sends takes
/// nothing from others, so that their datagrams are answered by an ICMP error as on a closed port.
#[derive(Debug)]
pub(crate) struct Reservation {
    _http: Socket,
    _dogstatsd: UdpSocket,
}

impl Reservation {
    pub(crate) fn take(places: &Places) -> io::Result<Self> {
        let http = Socket::new(Domain::for_address(places.http), Type::STREAM, None)?;
        http.set_reuse_address(true)?;
        http.bind(&places.http.into())?;
        let dogstatsd = UdpSocket::bind(places.dogstatsd)?;
        let nobody = match places.dogstatsd {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
        };
        // Port 9, discard.
        dogstatsd.connect((nobody, 9))?;
        Ok(Self {
            _http: http,
            _dogstatsd: dogstatsd,
        })
    }
}

/// The agent could not start or start again: what it could not listen on, and the system's reason.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartError {
    /// What failed, such as `HTTP on 127.0.0.1:8126`.
    pub place: String,
    /// The system's reason.
    pub reason: io::Error,
}

impl StartError {
    pub(crate) fn new(place: impl Into<String>, reason: io::Error) -> Self {
        Self {
            place: place.into(),
            reason,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't listen for {}: {}", self.place, self.reason)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}
