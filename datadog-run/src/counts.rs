//! How much arrived.

use std::fmt;
use std::time::{Duration, Instant};

use datadog_local_agent::{LocalAgent, Received};

/// How many items of each kind arrived so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    spans: usize,
    metrics: usize,
    logs: usize,
    profiles: usize,
    refusals: usize,
}

impl Counts {
    pub(crate) fn of(agent: &LocalAgent) -> Self {
        read(agent, |got| Self {
            spans: got.spans().count(),
            metrics: got.metrics().len(),
            logs: got.logs().len(),
            profiles: got.profiles().len(),
            refusals: got.refusals().len(),
        })
    }
}

/// `3 spans · 1 metric · 0 logs · 0 profiles`, and what was refused, if anything was.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, noun: &str| match count {
            1 => format!("1 {noun}"),
            count => format!("{count} {noun}s"),
        };
        let mut parts = vec![
            counted(self.spans, "span"),
            counted(self.metrics, "metric"),
            counted(self.logs, "log"),
            counted(self.profiles, "profile"),
        ];
        if self.refusals > 0 {
            parts.push(format!("{} refused", self.refusals));
        }
        f.write_str(&parts.join(" · "))
    }
}

/// Waits for what a program that has ended sent: until nothing has arrived for a while. The system holds it already.
pub(crate) fn settle(agent: &LocalAgent) {
    const QUIET: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(2);
    let arrivals = |got: &Received| (got.connections(), got.requests().len(), got.datagrams());
    let start = Instant::now();
    while start.elapsed() < LONGEST {
        let before = read(agent, arrivals);
        if agent
            .wait_for(QUIET, |got| arrivals(got) != before)
            .is_err()
        {
            return;
        }
    }
}

/// Asks something of what is there, without a copy of it.
fn read<T: Default>(agent: &LocalAgent, ask: impl Fn(&Received) -> T) -> T {
    let mut answer = T::default();
    // Can't fail: there is nothing to wait for.
    let _ = agent.wait_for(Duration::ZERO, |got| {
        answer = ask(got);
        true
    });
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_is_counted_and_printed() {
        let agent = LocalAgent::start().unwrap();
        assert_eq!(
            Counts::of(&agent).to_string(),
            "0 spans · 0 metrics · 0 logs · 0 profiles"
        );
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let lines = b"a:1|c\nb:1|c\nbad";
        socket.send_to(lines, agent.dogstatsd_addr()).unwrap();
        let limit = Duration::from_secs(20);
        agent.wait_for(limit, |got| got.datagrams() == 1).unwrap();
        settle(&agent);
        assert_eq!(
            Counts::of(&agent).to_string(),
            "0 spans · 2 metrics · 0 logs · 0 profiles · 1 refused"
        );
    }
}
