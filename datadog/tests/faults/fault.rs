//! What goes wrong, how it begins, and how it ends.

use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use datadog::DropReason;
use datadog_local_agent::{Fault, LocalAgent};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::subject::{Subject, Wire};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    Refuses,
    NeverAnswers,
    Slow,
    ClosesMidAnswer,
    ClosesMidRequest,
    Status(u16),
    RetryAfter,
    Garbage,
    Restarts,
    Full,
}

/// What is to become of items made meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// They arrive all the same.
    Delivered,
    /// They wait, and arrive afterwards.
    Kept,
    /// They are given up at once, because trying again can't help.
    Dropped(DropReason),
    /// The kernel takes them and loses them, and tells nobody.
    LostUnseen,
}

const FILLER: &str = "full:1|c\n";

/// A trouble that lasts until it is ended.
pub(crate) enum Lasting {
    Scripted,
    Gone,
    FullListener(Vec<Socket>),
    FullUdp(UdpSocket),
    FullUnixDatagram,
}

impl Trouble {
    pub(crate) const ALL: [Self; 16] = [
        Self::Refuses,
        Self::NeverAnswers,
        Self::Slow,
        Self::ClosesMidAnswer,
        Self::ClosesMidRequest,
        Self::Status(400),
        Self::Status(403),
        Self::Status(404),
        Self::Status(408),
        Self::Status(413),
        Self::RetryAfter,
        Self::Status(500),
        Self::Status(503),
        Self::Garbage,
        Self::Restarts,
        Self::Full,
    ];

    /// DogStatsD has no answers, so none that can be wrong.
    pub(crate) fn concerns(self, subject: Subject) -> bool {
        subject.wire.has_answers() || matches!(self, Self::Refuses | Self::Restarts | Self::Full)
    }

    pub(crate) fn fate(self, subject: Subject) -> Fate {
        match self {
            Self::Slow | Self::ClosesMidAnswer | Self::Garbage | Self::Restarts => Fate::Delivered,
            Self::Status(413) => Fate::Dropped(DropReason::TooLarge),
            Self::Status(status @ (400 | 403 | 404)) => Fate::Dropped(DropReason::Refused(status)),
            Self::Full if subject.wire == Wire::Udp => Fate::LostUnseen,
            Self::Refuses
            | Self::NeverAnswers
            | Self::ClosesMidRequest
            | Self::Status(_)
            | Self::RetryAfter
            | Self::Full => Fate::Kept,
        }
    }

    pub(crate) fn begin(self, agent: &LocalAgent, subject: Subject) -> Lasting {
        let scripted = match self {
            Self::Refuses => {
                agent.stop_listening().unwrap();
                return Lasting::Gone;
            }
            Self::Restarts => {
                agent.restart().unwrap();
                return Lasting::Scripted;
            }
            Self::Full => return fill(agent, subject.wire),
            Self::NeverAnswers => Fault::NeverAnswer,
            Self::Slow => Fault::Delay(Duration::from_millis(200)),
            Self::ClosesMidAnswer => Fault::CloseMidAnswer,
            Self::ClosesMidRequest => Fault::CloseBeforeAnswer,
            Self::Status(status) => Fault::Status(status),
            Self::RetryAfter => Fault::RetryAfter(429, 1),
            Self::Garbage => Fault::GarbageBody,
        };
        match subject.endpoint() {
            None => agent.fail(scripted),
            Some(endpoint) => agent.fail_endpoint(endpoint, scripted),
        }
        Lasting::Scripted
    }
}

impl Lasting {
    pub(crate) fn end(self, agent: &LocalAgent) {
        match self {
            Self::Scripted => agent.heal(),
            Self::FullUnixDatagram => agent.resume_dogstatsd(),
            Self::FullUdp(socket) => {
                agent.resume_dogstatsd();
                let drained = || {
                    let soon = Duration::from_millis(50);
                    agent.wait_for(soon, |got| got.metric_sum("drained") > 0.0)
                };
                while drained().is_err() {
                    socket.send(b"drained:1|c\n").unwrap();
                }
            }
            Self::Gone => agent.restart().unwrap(),
            Self::FullListener(sockets) => {
                drop(sockets);
                agent.restart().unwrap();
            }
        }
    }
}

/// Fills what the kernel buffers for a receiver that does not look.
fn fill(agent: &LocalAgent, wire: Wire) -> Lasting {
    match wire {
        Wire::Tcp => {
            let address: SocketAddr = agent
                .url()
                .strip_prefix("http://")
                .unwrap()
                .parse()
                .unwrap();
            full_listener(agent, Domain::IPV4, &address.into())
        }
        Wire::Unix => {
            let address = SockAddr::unix(agent.trace_socket()).unwrap();
            full_listener(agent, Domain::UNIX, &address)
        }
        Wire::Udp => {
            agent.pause_dogstatsd();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(agent.dogstatsd_addr()).unwrap();
            // What is too little for a large datagram may still take a small one.
            for datagram in [FILLER.repeat(150), FILLER.to_owned()] {
                let lost = agent.lost_datagrams();
                while agent.lost_datagrams() == lost {
                    for _ in 0..16 {
                        socket.send(datagram.as_bytes()).unwrap();
                    }
                }
            }
            Lasting::FullUdp(socket)
        }
        Wire::UnixDatagram => {
            agent.pause_dogstatsd();
            let socket = UnixDatagram::unbound().unwrap();
            socket.connect(agent.dogstatsd_socket()).unwrap();
            socket.set_nonblocking(true).unwrap();
            let full = loop {
                if let Err(error) = socket.send(FILLER.as_bytes()) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock);
            Lasting::FullUnixDatagram
        }
        Wire::UnixStream => {
            let address = SockAddr::unix(agent.dogstatsd_stream_socket()).unwrap();
            full_listener(agent, Domain::UNIX, &address)
        }
    }
}

/// A listener at the agent's place that accepts nothing, with a backlog that is full.
fn full_listener(agent: &LocalAgent, domain: Domain, address: &SockAddr) -> Lasting {
    agent.stop_listening().unwrap();
    let listener = Socket::new(domain, Type::STREAM, None).unwrap();
    listener.set_reuse_address(true).unwrap();
    listener.bind(address).unwrap();
    listener.listen(0).unwrap();
    let waiting = Socket::new(domain, Type::STREAM, None).unwrap();
    waiting.connect(address).unwrap();
    Lasting::FullListener(vec![waiting, listener])
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuses => f.write_str("refuses connections"),
            Self::NeverAnswers => f.write_str("accepts and never answers"),
            Self::Slow => f.write_str("answers slowly"),
            Self::ClosesMidAnswer => f.write_str("closes within its answer"),
            Self::ClosesMidRequest => f.write_str("closes within the request"),
            Self::Status(status) => write!(f, "answers {status}"),
            Self::RetryAfter => f.write_str("answers 429 with `Retry-After`"),
            Self::Garbage => f.write_str("answers garbage"),
            Self::Restarts => f.write_str("restarts, with new socket files"),
            Self::Full => f.write_str("has full socket buffers"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Kept => f.write_str("kept, delivered afterwards"),
            Self::Dropped(reason) => write!(f, "dropped: {reason}"),
            Self::LostUnseen => f.write_str("lost by the kernel, unseen"),
        }
    }
}
