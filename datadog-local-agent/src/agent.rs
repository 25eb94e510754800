//! The handle: starts the agent, asks what it got, tells it to fail.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::endpoint::{Endpoint, Settings};
use crate::errors::ErrorReport;
use crate::fault::Fault;
use crate::logs::LogEntry;
use crate::metric::{Event, Metric, ServiceCheck};
use crate::profile::Profile;
use crate::received::{Received, WaitError};
use crate::report::Report;
use crate::request::{Refusal, Request};
use crate::sockets::{Places, Sockets, StartError};
use crate::stats::{StatsGroup, StatsPayload};
use crate::thread::{Command, Shared, Thread};
use crate::trace::{Span, TraceChunk};

/// A running agent with its own thread. It stops when dropped.
///
/// All methods take `&self`; share it between threads by reference or in an `Arc`.
#[derive(Debug)]
pub struct LocalAgent {
    thread: Thread,
    shared: Arc<Shared>,
    /// Removed when dropped, so after the thread.
    _private_dir: Option<TempDir>,
}

impl LocalAgent {
    /// Starts an agent on free ports of the loopback address, with its sockets in a new temporary directory.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Sets up an agent that differs from [`LocalAgent::start`]'s.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`, for the agent's endpoints and for the intake's.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.places.http)
    }

    /// The Unix stream socket with the same HTTP endpoints: the agent's `apm.socket`.
    pub fn trace_socket(&self) -> &Path {
        &self.shared.places.trace_socket
    }

    /// The UDP address for DogStatsD.
    pub fn dogstatsd_addr(&self) -> SocketAddr {
        self.shared.places.dogstatsd
    }

    /// `udp://127.0.0.1:PORT`, the UDP address for DogStatsD as `DD_DOGSTATSD_URL` takes it.
    pub fn dogstatsd_url(&self) -> String {
        format!("udp://{}", self.shared.places.dogstatsd)
    }

    /// The Unix datagram socket for DogStatsD: the agent's `dsd.socket`.
    pub fn dogstatsd_socket(&self) -> &Path {
        &self.shared.places.dogstatsd_socket
    }

    /// The Unix stream socket for DogStatsD, `dsd.stream.socket` here; an agent has one where its option
    /// `dogstatsd_stream_socket` says so.
    pub fn dogstatsd_stream_socket(&self) -> &Path {
        &self.shared.places.dogstatsd_stream_socket
    }
}

/// What it got. All are copies, in order of arrival, of what came since the start or the last [`LocalAgent::clear`].
impl LocalAgent {
    /// Everything.
    pub fn received(&self) -> Received {
        self.shared.store.read(Received::clone)
    }

    /// Accepted trace chunks.
    pub fn traces(&self) -> Vec<TraceChunk> {
        self.shared.store.read(|got| got.traces().to_vec())
    }

    /// The spans of all accepted trace chunks.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.store.read(|got| got.spans().cloned().collect())
    }

    /// Accepted trace statistics.
    pub fn stats(&self) -> Vec<StatsPayload> {
        self.shared.store.read(|got| got.stats().to_vec())
    }

    /// The groups of all accepted trace statistics.
    pub fn stats_groups(&self) -> Vec<StatsGroup> {
        self.shared
            .store
            .read(|got| got.stats_groups().cloned().collect())
    }

    /// Accepted log entries.
    pub fn logs(&self) -> Vec<LogEntry> {
        self.shared.store.read(|got| got.logs().to_vec())
    }

    /// Accepted metrics: one for each DogStatsD line and each point of a series.
    pub fn metrics(&self) -> Vec<Metric> {
        self.shared.store.read(|got| got.metrics().to_vec())
    }

    /// The accepted metrics of one name.
    pub fn metrics_named(&self, name: &str) -> Vec<Metric> {
        self.shared
            .store
            .read(|got| got.metrics_named(name).cloned().collect())
    }

    /// The sum of [`Metric::sum`] over all metrics of one name; zero if there are none.
    pub fn metric_sum(&self, name: &str) -> f64 {
        self.shared.store.read(|got| got.metric_sum(name))
    }

    /// All values of all metrics of one name.
    pub fn metric_values(&self, name: &str) -> Vec<f64> {
        self.shared.store.read(|got| got.metric_values(name))
    }

    /// Accepted reports for error tracking, such as of crashes.
    pub fn errors(&self) -> Vec<ErrorReport> {
        self.shared.store.read(|got| got.errors().to_vec())
    }

    /// Accepted events.
    pub fn events(&self) -> Vec<Event> {
        self.shared.store.read(|got| got.events().to_vec())
    }

    /// Accepted service checks.
    pub fn service_checks(&self) -> Vec<ServiceCheck> {
        self.shared.store.read(|got| got.service_checks().to_vec())
    }

    /// Accepted profile uploads.
    pub fn profiles(&self) -> Vec<Profile> {
        self.shared.store.read(|got| got.profiles().to_vec())
    }

    /// All HTTP requests, also those refused or failed.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.store.read(|got| got.requests().to_vec())
    }

    /// Everything refused, with the reasons.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.shared.store.read(|got| got.refusals().to_vec())
    }

    /// Number of HTTP connections accepted, over TCP and Unix sockets.
    pub fn connections(&self) -> u64 {
        self.shared.store.read(Received::connections)
    }

    /// Number of DogStatsD datagrams read, frames of streams included.
    pub fn datagrams(&self) -> u64 {
        self.shared.store.read(Received::datagrams)
    }

    /// Number of datagrams that the kernel dropped at the UDP socket since the start, because its buffer was full.
    ///
    /// Linux tells it in `/proc/net/udp`; on other systems this is always zero. [`LocalAgent::clear`] does not reset it.
    pub fn lost_datagrams(&self) -> u64 {
        self.shared.lost_datagrams()
    }

    /// Waits until `done` says so, at most `limit` long. It is asked at once and after each arrival.
    ///
    /// Ask what `done` is given, not the agent: the agent's own methods would wait for themselves.
    ///
    /// # Errors
    ///
    /// The time is over. The error's text tells what did arrive and what was refused and why.
    pub fn wait_for(
        &self,
        limit: Duration,
        done: impl FnMut(&Received) -> bool,
    ) -> Result<(), WaitError> {
        self.shared.store.wait_for(limit, done)
    }

    /// What was received so far, in a form for people.
    pub fn report(&self) -> Report {
        Report::new(self.received(), self.lost_datagrams())
    }

    /// Forgets everything received and refused. Faults stay.
    pub fn clear(&self) {
        self.shared.store.clear();
    }
}

/// Making it fail.
impl LocalAgent {
    /// From now on, treats every HTTP request like this.
    pub fn fail(&self, fault: Fault) {
        self.shared.faults.add(None, None, fault);
    }

    /// From now on, treats every request to `endpoint` like this.
    pub fn fail_endpoint(&self, endpoint: Endpoint, fault: Fault) {
        self.shared.faults.add(Some(endpoint), None, fault);
    }

    /// Treats the next `requests` to `endpoint` like this. Goes before the lasting faults; several are played in
    /// the order given.
    pub fn fail_next(&self, requests: usize, endpoint: Endpoint, fault: Fault) {
        if requests > 0 {
            self.shared
                .faults
                .add(Some(endpoint), Some(requests), fault);
        }
    }

    /// Ends all faults. A request already left unanswered stays so.
    pub fn heal(&self) {
        self.shared.faults.clear();
    }

    /// Goes away as a stopped agent does: closes all connections, refuses new ones, removes the sockets, and takes no
    /// datagrams. The ports stay reserved.
    ///
    /// # Errors
    ///
    /// The ports could not be reserved; the agent is stopped all the same.
    pub fn stop_listening(&self) -> Result<(), StartError> {
        self.thread.order(Command::StopListening)
    }

    /// Listens again on the same ports and paths. An agent that is not stopped is stopped first. The socket files are
    /// new ones: a client connected to the old datagram socket writes into nothing.
    ///
    /// # Errors
    ///
    /// A port or path could not be bound again; the agent is stopped then.
    pub fn restart(&self) -> Result<(), StartError> {
        self.thread.order(Command::Restart)
    }

    /// Stops reading the DogStatsD sockets, so that their buffers fill up: a Unix socket then makes its senders wait
    /// or fail, a UDP socket loses datagrams.
    pub fn pause_dogstatsd(&self) {
        // Fails only if the thread is gone, and then nothing is read either.
        let _ = self.thread.order(Command::PauseDogstatsd);
    }

    /// Reads the DogStatsD sockets again, first what has been waiting in their buffers.
    pub fn resume_dogstatsd(&self) {
        let _ = self.thread.order(Command::ResumeDogstatsd);
    }

    /// Changes the sampling rates that traces are answered with; see [`Builder::rate_by_service`].
    pub fn set_rate_by_service<K: Into<String>>(&self, rates: impl IntoIterator<Item = (K, f64)>) {
        let rates = rates.into_iter().map(|(key, rate)| (key.into(), rate));
        *self.shared.settings.rate_by_service.lock() = rates.collect();
    }
}

/// What it says of itself.
impl LocalAgent {
    /// Sets fields of `/info`, such as `client_drop_p0s`, beside or instead of its own. Clients that read it before notice
    /// by the header `Datadog-Agent-State` of the next answer.
    pub fn set_info<K: Into<String>>(
        &self,
        fields: impl IntoIterator<Item = (K, serde_json::Value)>,
    ) {
        let fields = fields.into_iter().map(|(key, value)| (key.into(), value));
        self.shared.settings.info.lock().extend(fields);
    }
}

/// Sets up a [`LocalAgent`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    http_addr: SocketAddr,
    dogstatsd_addr: SocketAddr,
    socket_dir: Option<PathBuf>,
    api_key: Option<String>,
    rate_by_service: BTreeMap<String, f64>,
}

impl Default for Builder {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            http_addr: any_port,
            dogstatsd_addr: any_port,
            socket_dir: None,
            api_key: None,
            // What an agent answers before it knows better.
            rate_by_service: BTreeMap::from([("service:,env:".to_owned(), 1.0)]),
        }
    }
}

impl Builder {
    /// The TCP address for HTTP. Default: a free port of the loopback address.
    pub fn http_addr(mut self, address: SocketAddr) -> Self {
        self.http_addr = address;
        self
    }

    /// The UDP address for DogStatsD. Default: a free port of the loopback address.
    pub fn dogstatsd_addr(mut self, address: SocketAddr) -> Self {
        self.dogstatsd_addr = address;
        self
    }

    /// The directory for the sockets `apm.socket`, `dsd.socket` and `dsd.stream.socket`; it has to exist. Default: a new temporary
    /// directory, removed with the agent.
    pub fn socket_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.socket_dir = Some(directory.into());
        self
    }

    /// The only API key that the intake endpoints accept. Default: any that is not empty.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// The sampling rates that traces are answered with, by `service:NAME,env:NAME`.
    /// Default: 1 for `service:,env:`, which stands for all others.
    pub fn rate_by_service<K: Into<String>>(
        mut self,
        rates: impl IntoIterator<Item = (K, f64)>,
    ) -> Self {
        let rates = rates.into_iter().map(|(key, rate)| (key.into(), rate));
        self.rate_by_service = rates.collect();
        self
    }

    /// Starts the agent.
    ///
    /// # Errors
    ///
    /// A port is taken, or the directory for the sockets can't be used.
    pub fn start(self) -> Result<LocalAgent, StartError> {
        let (directory, private_dir) = match self.socket_dir {
            Some(directory) => (directory, None),
            None => {
                let private = tempfile::Builder::new().prefix("datadog-").tempdir();
                let private = private
                    .map_err(|error| StartError::new("sockets in a new directory", error))?;
                (private.path().to_owned(), Some(private))
            }
        };
        let places = Places {
            http: self.http_addr,
            dogstatsd: self.dogstatsd_addr,
            trace_socket: directory.join("apm.socket"),
            dogstatsd_socket: directory.join("dsd.socket"),
            dogstatsd_stream_socket: directory.join("dsd.stream.socket"),
        };
        let sockets = Sockets::bind(&places)?;
        let places = sockets
            .bound(places)
            .map_err(|error| StartError::new("anything", error))?;
        let settings = Settings {
            api_key: self.api_key,
            rate_by_service: Mutex::new(self.rate_by_service),
            statsd_port: places.dogstatsd.port(),
            info: Mutex::default(),
        };
        let shared = Arc::new(Shared::new(settings, places));
        let thread = Thread::start(Arc::clone(&shared), sockets)?;
        Ok(LocalAgent {
            thread,
            shared,
            _private_dir: private_dir,
        })
    }
}
