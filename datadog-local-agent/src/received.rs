//! What was accepted and refused, in order of arrival, and waiting for it.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::dogstatsd::Item;
use crate::errors::ErrorReport;
use crate::logs::LogEntry;
use crate::metric::{Event, Metric, ServiceCheck};
use crate::profile::Profile;
use crate::request::{Refusal, Request};
use crate::stats::{StatsGroup, StatsPayload};
use crate::trace::{Span, TraceChunk};

/// Everything that the agent got since it started or was cleared, in order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Received {
    requests: Vec<Request>,
    traces: Vec<TraceChunk>,
    stats: Vec<StatsPayload>,
    logs: Vec<LogEntry>,
    metrics: Vec<Metric>,
    events: Vec<Event>,
    service_checks: Vec<ServiceCheck>,
    profiles: Vec<Profile>,
    errors: Vec<ErrorReport>,
    refusals: Vec<Refusal>,
    connections: u64,
    datagrams: u64,
}

impl Received {
    /// All HTTP requests, also those refused or failed.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Accepted trace chunks.
    pub fn traces(&self) -> &[TraceChunk] {
        &self.traces
    }

    /// The spans of all accepted trace chunks.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.traces.iter().flat_map(|chunk| &chunk.spans)
    }

    /// Accepted trace statistics.
    pub fn stats(&self) -> &[StatsPayload] {
        &self.stats
    }

    /// The groups of all accepted trace statistics.
    pub fn stats_groups(&self) -> impl Iterator<Item = &StatsGroup> {
        let buckets = self.stats.iter().flat_map(|payload| &payload.buckets);
        buckets.flat_map(|bucket| &bucket.groups)
    }

    /// Accepted log entries.
    pub fn logs(&self) -> &[LogEntry] {
        &self.logs
    }

    /// Accepted metrics: one for each DogStatsD line and each point of a series.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The accepted metrics of one name.
    pub fn metrics_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Metric> {
        self.metrics
            .iter()
            .filter(move |metric| metric.name == name)
    }

    /// The sum of [`Metric::sum`] over all metrics of one name; zero if there are none.
    pub fn metric_sum(&self, name: &str) -> f64 {
        self.metrics_named(name).map(Metric::sum).sum()
    }

    /// All values of all metrics of one name, in order of arrival.
    pub fn metric_values(&self, name: &str) -> Vec<f64> {
        self.metrics_named(name)
            .flat_map(|metric| metric.values.iter().copied())
            .collect()
    }

    /// Accepted events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Accepted service checks.
    pub fn service_checks(&self) -> &[ServiceCheck] {
        &self.service_checks
    }

    /// Accepted profile uploads.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// Accepted reports for error tracking, such as of crashes.
    pub fn errors(&self) -> &[ErrorReport] {
        &self.errors
    }

    /// Everything refused.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// Number of HTTP connections accepted, over TCP and Unix sockets.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Number of DogStatsD datagrams read, frames of streams included.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    fn add(&mut self, items: Items) {
        match items {
            Items::None => {}
            Items::Traces(chunks) => self.traces.extend(chunks),
            Items::Stats(payload) => self.stats.push(payload),
            Items::Logs(entries) => self.logs.extend(entries),
            Items::Metrics(metrics) => self.metrics.extend(metrics),
            Items::Profile(profile) => self.profiles.push(profile),
            Items::Error(report) => self.errors.push(report),
        }
    }
}

/// Counts in one line, then the refusals.
impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests on {} connections, {} datagrams; accepted: {} spans in {} trace chunks, {} stats groups, {} log entries, {} metrics, \
             {} events, {} service checks, {} profiles; {} refusals",
            self.requests.len(),
            self.connections,
            self.datagrams,
            self.spans().count(),
            self.traces.len(),
            self.stats_groups().count(),
            self.logs.len(),
            self.metrics.len(),
            self.events.len(),
            self.service_checks.len(),
            self.profiles.len(),
            self.refusals.len(),
        )?;
        for refusal in &self.refusals {
            write!(f, "\n  {refusal}")?;
        }
        Ok(())
    }
}

/// What one accepted request brought.
#[derive(Debug)]
pub(crate) enum Items {
    None,
    Traces(Vec<TraceChunk>),
    Stats(StatsPayload),
    Logs(Vec<LogEntry>),
    Metrics(Vec<Metric>),
    Profile(Profile),
    Error(ErrorReport),
}

/// [`Received`], shared between the agent's thread and those that ask and wait.
#[derive(Debug, Default)]
pub(crate) struct Store {
    received: Mutex<Received>,
    changed: Condvar,
}

impl Store {
    /// Asks something of what is there.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&Received) -> T) -> T {
        ask(&self.received.lock())
    }

    /// Records a request with what came of it, all at once.
    pub(crate) fn add_request(&self, request: Request, items: Items, refusal: Option<Refusal>) {
        self.change(|received| {
            received.requests.push(request);
            received.add(items);
            received.refusals.extend(refusal);
        });
    }

    /// Records a datagram with what came of each line; `place` is for the refusals.
    pub(crate) fn add_datagram(&self, lines: Vec<Result<Item, String>>, place: &str) {
        self.change(|received| {
            received.datagrams += 1;
            for line in lines {
                match line {
                    Ok(Item::Metric(metric)) => received.metrics.push(metric),
                    Ok(Item::Event(event)) => received.events.push(event),
                    Ok(Item::ServiceCheck(check)) => received.service_checks.push(check),
                    Err(reason) => received.refusals.push(Refusal {
                        place: place.to_owned(),
                        status: None,
                        reason,
                    }),
                }
            }
        });
    }

    /// Records something refused that was no request.
    pub(crate) fn refuse(&self, place: &str, reason: String) {
        self.change(|received| {
            received.refusals.push(Refusal {
                place: place.to_owned(),
                status: None,
                reason,
            });
        });
    }

    /// Counts an accepted connection.
    pub(crate) fn add_connection(&self) {
        self.change(|received| received.connections += 1);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.change(|received| *received = Received::default());
    }

    /// Waits until `done` says so, asked anew after each change.
    pub(crate) fn wait_for(
        &self,
        limit: Duration,
        mut done: impl FnMut(&Received) -> bool,
    ) -> Result<(), WaitError> {
        let deadline = Instant::now().checked_add(limit);
        let mut received = self.received.lock();
        while !done(&received) {
            let timed_out = match deadline {
                Some(deadline) => self.changed.wait_until(&mut received, deadline).timed_out(),
                None => {
                    self.changed.wait(&mut received);
                    false
                }
            };
            if timed_out && !done(&received) {
                return Err(WaitError {
                    limit,
                    received: received.to_string(),
                });
            }
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Received)) {
        change(&mut self.received.lock());
        self.changed.notify_all();
    }
}

/// What was waited for did not come in time. `Display` and `Debug` both tell what did.
#[derive(Clone)]
pub struct WaitError {
    limit: Duration,
    received: String,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "what was waited for did not arrive within {:?}; there were {}",
            self.limit, self.received
        )
    }
}

/// The same as `Display`, because that is what `unwrap` shows.
impl fmt::Debug for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for WaitError {}
