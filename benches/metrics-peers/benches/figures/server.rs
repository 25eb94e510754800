//! The server: counts what arrives, as an agent would.

use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use metrics_peers::Server;

use super::client::NAME;

/// Which socket.
#[derive(Clone, Copy)]
pub(crate) enum Transport {
    Udp,
    Unix,
}

/// A running server. Dropping it closes its socket, and removes its file.
pub(crate) struct Counting {
    pub(crate) place: Server,
    seen: Arc<Seen>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    sum: AtomicU64,
    datagrams: AtomicU64,
    ended: AtomicBool,
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// What arrived.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Arrived {
    /// The sum of the counts.
    pub(crate) sum: u64,
    pub(crate) datagrams: u64,
}

impl Counting {
    pub(crate) fn start(transport: Transport, folder: &Path) -> Self {
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                let place = Server::Udp(socket.local_addr().unwrap());
                Self::read(Socket::Udp(socket), place)
            }
            Transport::Unix => Self::bind(folder.join("dsd.socket")),
        }
    }

    fn bind(path: PathBuf) -> Self {
        // As an agent does. One of the clients binds a path that it finds free.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::read(Socket::Unix(socket), Server::Unix(path))
    }

    fn read(socket: Socket, place: Server) -> Self {
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        Self {
            place,
            seen,
            reader: Some(thread::spawn(move || count(&socket, &counted))),
        }
    }

    pub(crate) fn arrived(&self) -> Arrived {
        Arrived {
            sum: self.seen.sum.load(Ordering::Relaxed),
            datagrams: self.seen.datagrams.load(Ordering::Relaxed),
        }
    }

    /// Waits until `sum` arrived, or until nothing came for longer than any client's period.
    pub(crate) fn settle(&self, sum: u64) -> Arrived {
        let (mut last, mut since) = (self.arrived(), Instant::now());
        while last.sum < sum && since.elapsed() < Duration::from_secs(3) {
            thread::sleep(Duration::from_millis(10));
            let now = self.arrived();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.seen.ended.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        if let Server::Unix(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn count(socket: &Socket, seen: &Seen) {
    socket.set_read_timeout(Duration::from_millis(50)).unwrap();
    let mut datagram = [0; 8192];
    loop {
        match socket.recv(&mut datagram) {
            Ok(length) => {
                seen.datagrams.fetch_add(1, Ordering::Relaxed);
                let sum = sum(&datagram[..length]);
                seen.sum.fetch_add(sum, Ordering::Relaxed);
            }
            // What came before the end is read first.
            Err(_) if seen.ended.load(Ordering::Relaxed) => return,
            Err(_) => {}
        }
    }
}

/// The sum of the counts in a datagram.
fn sum(datagram: &[u8]) -> u64 {
    datagram
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let value = line.strip_prefix(NAME.as_bytes())?.strip_prefix(b":")?;
            let end = value.iter().position(|byte| *byte == b'|')?;
            std::str::from_utf8(&value[..end]).ok()?.parse::<u64>().ok()
        })
        .sum()
}

impl Socket {
    fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.set_read_timeout(Some(limit)),
            Self::Unix(socket) => socket.set_read_timeout(Some(limit)),
        }
    }

    fn recv(&self, datagram: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(datagram),
            Self::Unix(socket) => socket.recv(datagram),
        }
    }
}
