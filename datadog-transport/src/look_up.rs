//! Addresses of a host that a signal sends to by itself, without waiting longer than it may.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};

/// Looks up a host's addresses. The operating system's look-up has no time limit, so it runs on a thread of its
/// own; one that is not done when its asker has no more time goes on, and the next call waits for the same one.
#[derive(Debug)]
pub struct LookUp {
    host: String,
    port: u16,
    running: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl LookUp {
    /// Of a host name or an IP address.
    pub fn of(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            running: None,
        }
    }

    /// The addresses, at least one, within `limit`.
    ///
    /// # Errors
    ///
    /// Those of the look-up, [`ErrorKind::NotFound`] where the host has no address, [`ErrorKind::TimedOut`] after `limit`.
    pub fn addresses(&mut self, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let running = match self.running.take() {
            Some(running) => running,
            None => start(self.host.clone(), self.port)?,
        };
        let Ok(outcome) = running.recv_timeout(limit) else {
            self.running = Some(running);
            let text = format!("the look-up of {} takes too long", self.host);
            return Err(io::Error::new(ErrorKind::TimedOut, text));
        };
        outcome
    }
}

fn start(host: String, port: u16) -> io::Result<Receiver<io::Result<Vec<SocketAddr>>>> {
    let (sender, running) = bounded(1);
    thread::Builder::new()
        .name("datadog-dns".to_owned())
        .spawn(move || {
            let _ = sender.send(look_up(&host, port));
        })?;
    Ok(running)
}

fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        let text = format!("{host} has no address");
        return Err(io::Error::new(ErrorKind::NotFound, text));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn names_and_addresses_are_found() {
        let found = LookUp::of("localhost", 8125).addresses(LONG).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        let literal = LookUp::of("::1", 8125).addresses(Duration::ZERO).unwrap();
        assert_eq!(literal, ["[::1]:8125".parse().unwrap()]);
        assert!(LookUp::of("no such host", 1).addresses(LONG).is_err());
    }

    #[test]
    fn a_slow_look_up_is_waited_for_again_and_not_started_twice() {
        let (answer, running) = bounded(1);
        let mut slow = LookUp {
            running: Some(running),
            ..LookUp::of("localhost", 8125)
        };
        let error = slow.addresses(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        answer
            .send(Ok(vec!["127.0.0.9:8125".parse().unwrap()]))
            .unwrap();
        let found = slow.addresses(Duration::ZERO).unwrap();
        assert_eq!(found, ["127.0.0.9:8125".parse().unwrap()]);
        // The next one asks anew.
        let found = slow.addresses(LONG).unwrap();
        assert_ne!(found, ["127.0.0.9:8125".parse().unwrap()]);
    }
}
