//! What a strict receiver read, in a form that can be compared.

use std::net::UdpSocket;
use std::time::Duration;

use datadog_local_agent::{Event, LocalAgent, Metric, Origin, Received, ServiceCheck};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A receiver for the reference, whose lines have no newline at their end. Ours have, because an agent may be told to insist,
/// as the one here does.
pub(crate) struct Relay(UdpSocket);

impl Relay {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Passes datagrams on to the agent.
    pub(crate) fn pass_on(&self, agent: &LocalAgent, datagrams: usize) {
        let mut datagram = [0; 2048];
        for _ in 0..datagrams {
            let length = self.0.recv(&mut datagram[..2047]).unwrap();
            datagram[length] = b'\n';
            self.0
                .send_to(&datagram[..=length], agent.dogstatsd_addr())
                .unwrap();
        }
    }
}

/// Sends by `send`, and returns what arrived when `count` things did.
pub(crate) fn arrived(agent: &LocalAgent, count: usize, send: impl FnOnce()) -> Received {
    agent.clear();
    send();
    let things =
        |got: &Received| metrics_of(got).len() + got.events().len() + got.service_checks().len();
    agent.wait_for(LIMIT, |got| things(got) >= count).unwrap();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let got = agent.received();
    assert_eq!(things(&got), count, "{got:?}");
    got
}

/// By name, with tags in one order, because it has no meaning, and without the origin, which only ours tell.
pub(crate) fn metrics_of(got: &Received) -> Vec<Metric> {
    let mut metrics = got.metrics().to_vec();
    // What our client says about itself, should the test take long.
    metrics.retain(|metric| !metric.name.starts_with("datadog."));
    for metric in &mut metrics {
        metric.tags.sort();
        metric.origin = Origin::default();
    }
    metrics.sort_by(|one, other| one.name.cmp(&other.name));
    metrics
}

pub(crate) fn events_of(got: &Received) -> Vec<Event> {
    let mut events = got.events().to_vec();
    for event in &mut events {
        event.tags.sort();
        event.origin = Origin::default();
    }
    events
}

pub(crate) fn checks_of(got: &Received) -> Vec<ServiceCheck> {
    let mut checks = got.service_checks().to_vec();
    for check in &mut checks {
        check.tags.sort();
        check.origin = Origin::default();
    }
    checks
}
