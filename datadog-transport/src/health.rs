//! What became of every item: what was accepted is delivered, dropped for a stated reason, or still buffered.

mod serialize;

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

/// One kind of data, with its own buffers, period and account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SignalKind {
    /// Metrics. An item is one submitted value.
    Metrics,
    /// Logs. An item is one record.
    Logs,
    /// Traces. An item is one span.
    Traces,
    /// Profiles. An item is one profile.
    Profiles,
    /// Trace statistics. An item is what one payload says of one group of spans, such as those of one resource within 10 s; it
    /// is accepted when that is written, at the end of its time or at a flush.
    Statistics,
}

/// Why an item was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The buffer was full.
    QueueFull,
    /// The item alone is larger than the receiver takes.
    TooLarge,
    /// The item could not be encoded, such as a metric without a name.
    Invalid,
    /// The receiver answered with this HTTP status.
    Refused(u16),
    /// The receiver failed to take it for longer than the age limit.
    Expired,
    /// The client was shut down first.
    Shutdown,
    /// The config names no receiver for this signal.
    NoReceiver,
    /// The process is a fork of the one that made the client. It can make a client of its own.
    Forked,
    /// There were too many distinct combinations of name and tags.
    Cardinality,
    /// The config or the agent asks for a part of the items only, and this was not in it.
    Sampled,
    /// The config allows no more items a second.
    RateLimited,
    /// The agent is set up to drop such items, so they were not sent.
    Filtered,
}

/// Items given up, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    by_reason: BTreeMap<DropReason, u64>,
}

/// The account of one signal at one moment.
///
/// Whenever the worker is at rest, `accepted == delivered + dropped.total() + buffered`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SignalHealth {
    /// Items taken from callers, those that were then dropped included.
    pub accepted: u64,
    /// Items that a receiver acknowledged; for DogStatsD: that the socket took.
    pub delivered: u64,
    /// Items waiting in memory.
    pub buffered: u64,
    /// Items given up.
    pub dropped: Drops,
    /// Bytes of the delivered bodies or datagrams.
    pub bytes: u64,
    /// Requests or datagrams sent, failed ones included.
    pub requests: u64,
    /// How many of them were second or later tries.
    pub retries: u64,
    /// What went wrong last.
    pub last_error: Option<LastError>,
}

/// What went wrong last in a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// When.
    pub at: SystemTime,
    /// What, in words that say how to mend it where that is known.
    pub message: String,
}

/// The accounts of all signals of a client. Prints as a table, and serializes with `serde`.
#[derive(Clone, Debug, Default)]
pub struct Health {
    signals: BTreeMap<SignalKind, SignalHealth>,
}

/// What one flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushReport {
    /// Items delivered while flushing.
    pub delivered: u64,
    /// Items given up while flushing.
    pub dropped: Drops,
    /// Items still waiting: the receiver did not take them yet, or more has to come first, as to the spans of a trace.
    pub buffered: u64,
    /// Bytes delivered.
    pub bytes: u64,
    /// Requests or datagrams sent.
    pub requests: u64,
    /// Whether the flush ran to its end: before its time limit, and before the client was shut down.
    pub complete: bool,
}

impl Drops {
    pub(crate) fn new(by_reason: BTreeMap<DropReason, u64>) -> Self {
        Self { by_reason }
    }

    /// All items given up.
    pub fn total(&self) -> u64 {
        self.by_reason.values().sum()
    }

    /// Items given up for `reason`.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.by_reason.get(&reason).copied().unwrap_or(0)
    }

    /// Each reason with its count, those of 0 left out.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.by_reason
            .iter()
            .map(|(reason, count)| (*reason, *count))
    }

    fn add(&mut self, other: &Self) {
        for (reason, count) in other.iter() {
            *self.by_reason.entry(reason).or_default() += count;
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let by_reason = self
            .iter()
            .map(|(reason, count)| (reason, count.saturating_sub(earlier.get(reason))))
            .filter(|(_, count)| *count > 0)
            .collect();
        Self { by_reason }
    }
}

impl SignalHealth {
    /// What a flush did that found the account `before` and left this one.
    pub(crate) fn since(&self, before: &Self, complete: bool) -> FlushReport {
        FlushReport {
            delivered: self.delivered.saturating_sub(before.delivered),
            dropped: self.dropped.since(&before.dropped),
            buffered: self.buffered,
            bytes: self.bytes.saturating_sub(before.bytes),
            requests: self.requests.saturating_sub(before.requests),
            complete,
        }
    }

    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.buffered += other.buffered;
        self.dropped.add(&other.dropped);
        self.bytes += other.bytes;
        self.requests += other.requests;
        self.retries += other.retries;
        if self.last_error.as_ref().map(|error| error.at)
            < other.last_error.as_ref().map(|error| error.at)
        {
            self.last_error.clone_from(&other.last_error);
        }
    }
}

impl Health {
    pub(crate) fn new(signals: impl IntoIterator<Item = (SignalKind, SignalHealth)>) -> Self {
        Self {
            signals: signals.into_iter().collect(),
        }
    }

    /// The account of one signal; all zero where the client does not have it.
    pub fn signal(&self, kind: SignalKind) -> SignalHealth {
        self.signals.get(&kind).cloned().unwrap_or_default()
    }

    /// Each signal of the client with its account.
    pub fn iter(&self) -> impl Iterator<Item = (SignalKind, &SignalHealth)> {
        self.signals.iter().map(|(kind, health)| (*kind, health))
    }

    /// The sum over all signals, whatever their items are, but without statistics, of which the program makes none itself.
    pub fn total(&self) -> SignalHealth {
        let mut total = SignalHealth::default();
        self.iter()
            .filter(|(kind, _)| *kind != SignalKind::Statistics)
            .for_each(|(_, health)| total.add(health));
        total
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Profiles => "profiles",
            Self::Statistics => "statistics",
        })
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull => f.write_str("queue full"),
            Self::TooLarge => f.write_str("too large"),
            Self::Invalid => f.write_str("invalid"),
            Self::Refused(status) => write!(f, "refused with {status}"),
            Self::Expired => f.write_str("expired"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::NoReceiver => f.write_str("no receiver"),
            Self::Forked => f.write_str("forked"),
            Self::Cardinality => f.write_str("cardinality"),
            Self::Sampled => f.write_str("sampled"),
            Self::RateLimited => f.write_str("rate limited"),
            Self::Filtered => f.write_str("filtered"),
        }
    }
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.total())?;
        for (at, (reason, count)) in self.iter().enumerate() {
            write!(f, "{}{reason}: {count}", if at == 0 { " (" } else { ", " })?;
        }
        if self.by_reason.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<11}{:>9}{:>11}{:>10}{:>10}{:>10}  dropped",
            "signal", "accepted", "delivered", "buffered", "requests", "bytes"
        )?;
        let total = self.total();
        let rows = self
            .signals
            .iter()
            .map(|(kind, health)| (kind.to_string(), health));
        for (name, health) in rows.chain([("total".to_owned(), &total)]) {
            writeln!(
                f,
                "{name:<10} {:>9} {:>10} {:>9} {:>9} {:>9}  {}",
                health.accepted,
                health.delivered,
                health.buffered,
                health.requests,
                health.bytes,
                health.dropped
            )?;
        }
        for (kind, health) in &self.signals {
            if let Some(error) = &health.last_error {
                writeln!(f, "{kind}: last error: {}", error.message)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for FlushReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "delivered {} in {} requests ({} bytes), dropped {}, buffered {}{}",
            self.delivered,
            self.requests,
            self.bytes,
            self.dropped,
            self.buffered,
            if self.complete { "" } else { ", incomplete" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Account;

    #[test]
    fn a_report_is_the_difference_of_two_accounts() {
        let account = Account::default();
        account.accept(10);
        account.drop_items(DropReason::QueueFull, 1);
        account.queued(9);
        let before = account.snapshot();
        account.queued(-9);
        account.pending(9);
        account.pending(-7);
        account.deliver(4, 100);
        account.drop_items(DropReason::Refused(403), 3);
        let after = account.snapshot();
        assert_eq!(
            after.accepted,
            after.delivered + after.dropped.total() + after.buffered
        );
        let report = after.since(&before, true);
        assert_eq!(
            (report.delivered, report.buffered, report.bytes),
            (4, 2, 100)
        );
        assert_eq!(
            report.dropped.iter().collect::<Vec<_>>(),
            [(DropReason::Refused(403), 3)]
        );
        assert_eq!(
            report.to_string(),
            "delivered 4 in 0 requests (100 bytes), dropped 3 (refused with 403: 3), buffered 2"
        );
    }

    #[test]
    fn the_table_shows_each_signal_a_total_and_the_last_errors() {
        let account = Account::default();
        account.accept(2);
        account.drop_items(DropReason::Expired, 2);
        account.error("nothing listens on 127.0.0.1:8126");
        let health = Health::new([
            (SignalKind::Traces, account.snapshot()),
            (SignalKind::Logs, SignalHealth::default()),
        ]);
        let table = health.to_string();
        assert!(table.contains("traces             2          0"), "{table}");
        assert!(table.contains("2 (expired: 2)"), "{table}");
        assert!(
            table.lines().any(|line| line.starts_with("total")),
            "{table}"
        );
        assert!(
            table.contains("traces: last error: nothing listens on 127.0.0.1:8126"),
            "{table}"
        );
    }
}
