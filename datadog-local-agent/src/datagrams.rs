//! DogStatsD sockets: reads datagrams and records what they say.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::net::{UdpSocket, UnixDatagram};

use crate::dogstatsd;
use crate::metric::Via;
use crate::thread::Shared;

/// No datagram is longer, so that a too long one is seen as it is.
const BUFFER: usize = 65_536;

/// Reads UDP datagrams for ever.
pub(crate) async fn read_udp(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        // An error belongs to one datagram (an ICMP answer, say); the socket stays usable.
        if let Ok(length) = socket.recv(&mut buffer).await {
            record(&shared, &buffer[..length], Via::Udp);
        }
    }
}

/// Reads Unix datagrams for ever.
pub(crate) async fn read_unix(shared: Arc<Shared>, socket: Arc<UnixDatagram>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        if let Ok(length) = socket.recv(&mut buffer).await {
            record(&shared, &buffer[..length], Via::UnixDatagram);
        }
    }
}

/// Reads what the sockets hold, without waiting for more.
pub(crate) fn read_rest(shared: &Shared, udp: &UdpSocket, unix: &UnixDatagram) {
    let mut buffer = vec![0; BUFFER];
    if let Ok(socket) = udp.as_fd().try_clone_to_owned() {
        let socket = std::net::UdpSocket::from(socket);
        while let Ok(length) = socket.recv(&mut buffer) {
            record(shared, &buffer[..length], Via::Udp);
        }
    }
    if let Ok(socket) = unix.as_fd().try_clone_to_owned() {
        let socket = std::os::unix::net::UnixDatagram::from(socket);
        while let Ok(length) = socket.recv(&mut buffer) {
            record(shared, &buffer[..length], Via::UnixDatagram);
        }
    }
}

/// Records what one datagram, or one frame of a stream, says.
pub(crate) fn record(shared: &Shared, datagram: &[u8], via: Via) {
    let lines = dogstatsd::datagram(datagram, via);
    shared.store.add_datagram(lines, &via.to_string());
}

/// How many datagrams the kernel dropped at the UDP socket bound to `address`, as Linux tells in `/proc/net/udp`.
/// Zero where that can't be read.
pub(crate) fn kernel_drops(address: SocketAddr) -> u64 {
    let table = match address {
        SocketAddr::V4(_) => "/proc/net/udp",
        SocketAddr::V6(_) => "/proc/net/udp6",
    };
    let table = std::fs::read_to_string(table).unwrap_or_default();
    drops_in(&table, &proc_address(address))
}

/// An address as `/proc/net/udp` writes it: each 32-bit word of the address in the machine's byte order, then the port.
fn proc_address(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let (words, _) = octets.as_chunks::<4>();
    let words: String = words
        .iter()
        .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
        .collect();
    format!("{words}:{:04X}", address.port())
}

/// The last column of the rows with this local address (the second column).
fn drops_in(table: &str, address: &str) -> u64 {
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.get(1) == Some(&address))
        .filter_map(|columns| columns.last()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_found_by_address() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
              26: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 18 2 0000000000000000 41\n\
              27: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 19 2 0000000000000000 7\n";
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(proc_address(address), "0100007F:1F90");
        assert_eq!(drops_in(table, &proc_address(address)), 41);
    }
}
