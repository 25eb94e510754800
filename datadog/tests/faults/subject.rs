//! A signal on one of its transports: how items are made, and how many arrived.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use datadog::{DDClient, DDConfig, DDConfigBuilder, SignalHealth, SignalKind};
use datadog_local_agent::{Endpoint, LocalAgent, Received};
use serde_json::json;

/// Far more than anything takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A signal on one of its transports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Subject {
    pub(crate) kind: SignalKind,
    pub(crate) wire: Wire,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire {
    Tcp,
    Unix,
    Udp,
    UnixDatagram,
    UnixStream,
}

impl Subject {
    pub(crate) const ALL: [Self; 11] = [
        Self::new(SignalKind::Traces, Wire::Tcp),
        Self::new(SignalKind::Traces, Wire::Unix),
        Self::new(SignalKind::Statistics, Wire::Tcp),
        Self::new(SignalKind::Statistics, Wire::Unix),
        Self::new(SignalKind::Profiles, Wire::Tcp),
        Self::new(SignalKind::Profiles, Wire::Unix),
        Self::new(SignalKind::Logs, Wire::Tcp),
        // To the intake.
        Self::new(SignalKind::Metrics, Wire::Tcp),
        Self::new(SignalKind::Metrics, Wire::Udp),
        Self::new(SignalKind::Metrics, Wire::UnixDatagram),
        Self::new(SignalKind::Metrics, Wire::UnixStream),
    ];

    const fn new(kind: SignalKind, wire: Wire) -> Self {
        Self { kind, wire }
    }

    pub(crate) fn start(self, agent: &LocalAgent) -> DDClient {
        let config = match self.wire {
            Wire::Tcp | Wire::Udp => over_ip(agent),
            Wire::Unix | Wire::UnixDatagram => over_sockets(agent),
            Wire::UnixStream => {
                let socket = agent.dogstatsd_stream_socket().display();
                over_ip(agent).dogstatsd_url(format!("unixstream://{socket}"))
            }
        };
        let agentless = self.kind == SignalKind::Metrics && self.wire == Wire::Tcp;
        let config = config.metrics_agentless(agentless);
        if self.kind == SignalKind::Statistics {
            agent.set_info([("client_drop_p0s", json!(true))]);
        }
        let client = DDClient::new(config.build().unwrap()).unwrap();
        if self.kind == SignalKind::Statistics {
            // Asks the agent what it takes.
            client.flush(LIMIT);
        }
        client
    }

    /// What may go wrong of it alone; `None` for everything.
    pub(crate) fn endpoint(self) -> Option<Endpoint> {
        // The traces go to the same agent first, and where it does not answer them there is no time for more.
        (self.kind == SignalKind::Statistics).then_some(Endpoint::Stats)
    }

    pub(crate) fn health(self, client: &DDClient) -> SignalHealth {
        client.health().signal(self.kind)
    }

    /// Makes items: `most` of them, but one profile. For statistics, spans of as many groups.
    pub(crate) fn make(self, client: &DDClient, most: u64) {
        match self.kind {
            SignalKind::Traces => (0..most).for_each(|_| client.trace("work").finish()),
            SignalKind::Statistics => {
                (0..most).for_each(|at| client.trace(format!("work {at}")).finish());
            }
            SignalKind::Logs => (0..most).for_each(|at| drop(client.info("work").with("at", at))),
            SignalKind::Metrics => (0..most).for_each(|_| client.count("work", 1, ())),
            _ => client.profiling_start(),
        }
    }

    /// Tries to deliver within `limit`. The profiler starts in the background, so a profile takes several tries.
    pub(crate) fn flush(self, client: &DDClient, limit: Duration) {
        if self.kind != SignalKind::Profiles {
            client.flush(limit);
            return;
        }
        let before = self.health(client).accepted;
        let end = Instant::now() + LIMIT;
        while self.health(client).accepted == before {
            assert!(Instant::now() < end, "{}", client.health());
            burn(Duration::from_millis(20));
            client.flush(limit);
        }
        client.profiling_stop();
    }

    /// How many of the items the agent has.
    pub(crate) fn arrived(self, got: &Received) -> u64 {
        match self.kind {
            SignalKind::Traces => got.spans().count() as u64,
            SignalKind::Logs => got.logs().len() as u64,
            SignalKind::Statistics => got.stats_groups().count() as u64,
            SignalKind::Metrics => got.metric_sum("work") as u64,
            _ => got.profiles().len() as u64,
        }
    }
}

impl Wire {
    pub(crate) fn has_answers(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix)
    }
}

pub(crate) fn over_ip(agent: &LocalAgent) -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .agent_timeout(Duration::from_secs(5))
        .dogstatsd_url(agent.dogstatsd_url())
        .logs_direct_submission_url(agent.url())
        .metrics_url(agent.url())
        .api_key("0123456789abcdef0123456789abcdef")
        .profiling_upload_period(Duration::from_secs(600))
        .service("shop")
}

pub(crate) fn over_sockets(agent: &LocalAgent) -> DDConfigBuilder {
    over_ip(agent)
        .agent_url(format!("unix://{}", agent.trace_socket().display()))
        .dogstatsd_url(format!("unix://{}", agent.dogstatsd_socket().display()))
}

/// Whether nothing is missing from the account.
pub(crate) fn balanced(health: &SignalHealth) -> bool {
    health.accepted == health.delivered + health.dropped.total() + health.buffered
}

/// How often this thread has waited for anything: a lock, the network, the disk. 0 where the system does not tell.
pub(crate) fn waits() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        .map_or(0, |count| count.trim().parse().unwrap())
}

pub(crate) fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        for number in 0..10_000u64 {
            black_box(number.wrapping_mul(number));
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Unix => "Unix",
            Self::Udp => "UDP",
            Self::UnixDatagram => "Unix datagram",
            Self::UnixStream => "Unix stream",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.wire) {
            (SignalKind::Metrics, Wire::Tcp) => f.write_str("metrics, to the intake"),
            (kind, wire) => write!(f, "{kind}, {wire}"),
        }
    }
}
