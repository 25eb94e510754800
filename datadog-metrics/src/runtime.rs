//! Metrics of the process itself, and of what runs in it.

mod process;
#[cfg(feature = "runtime-metrics-tokio")]
mod tokio;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_transport::TransportBuilder;
use parking_lot::Mutex;

use crate::{Gauge, Metrics};
use process::Process;

/// As the official clients (dd-trace-py: `ddtrace/internal/runtime/runtime_metrics.py`; dd-trace-go:
/// `ddtrace/tracer/metrics.go`).
const PERIOD: Duration = Duration::from_secs(10);

/// Tells every 10 seconds how the process is, if [`DDConfig::runtime_metrics_enabled`] says so. Cheap to clone.
///
/// Datadog documents no names for Rust. These are the names of dd-trace-py (`ddtrace/internal/runtime/constants.py`) with `rust` in
/// them, and beyond those what it has no name for. All are gauges:
///
/// | metric | what |
/// |---|---|
/// | `runtime.rust.cpu.time.user`, `.cpu.time.sys` | seconds of CPU time since they were told last, so about 10 times the cores in use |
/// | `runtime.rust.cpu.percent` | the sum of both, in percent of one core |
/// | `runtime.rust.cpu.ctx_switch.voluntary`, `.involuntary` | context switches since they were told last |
/// | `runtime.rust.mem.page_faults.minor`, `.major` | page faults since they were told last, without and with input or output |
/// | `runtime.rust.mem.rss`, `.mem.vms` | resident and virtual memory, in bytes |
/// | `runtime.rust.thread_count` | threads |
/// | `runtime.rust.fd.open` | open file descriptors |
///
/// The facade adds these where a `ProfiledAllocator` is installed and profiles of allocations are on:
///
/// | metric | what |
/// |---|---|
/// | `runtime.rust.alloc.bytes`, `.alloc.count` | bytes and blocks allocated since they were told last, estimated from samples |
/// | `runtime.rust.alloc.in_use.bytes` | bytes that are not freed yet, estimated from samples |
///
/// They carry the tags `lang:rust` and `runtime-id`, by which processes with the same tags otherwise don't overwrite each other.
/// They are values like any other in the account of the metrics. Memory, threads and files are read from `/proc`; where there
/// is none, they are left out, and a log line says so.
///
/// The `datadog` facade starts them (feature `runtime-metrics`). With this crate alone:
///
/// ```
/// use datadog_metrics::{DDConfig, Metrics, RuntimeMetrics, Standalone};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let agent = datadog_local_agent::LocalAgent::start()?;
/// # let url = agent.dogstatsd_url();
/// let config = DDConfig::builder().runtime_metrics_enabled(true).dogstatsd_url(url).build()?;
/// let metrics = Standalone::start(&config, |transport| {
///     let metrics = Metrics::join(transport)?;
///     RuntimeMetrics::join(transport, &metrics);
///     Ok(metrics)
/// })?;
/// # drop(metrics);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RuntimeMetrics {
    /// `None` where the config does not ask for them.
    watched: Option<Arc<Watched>>,
}

struct Watched {
    metrics: Metrics,
    runtime_id: String,
    sources: Mutex<Vec<Box<dyn Source>>>,
    figures: Mutex<Vec<Figure>>,
}

/// A figure of the program's.
struct Figure {
    gauge: Gauge,
    read: Box<dyn FnMut() -> Option<f64> + Send>,
}

/// Something that has figures.
trait Source: Send {
    /// Sets its gauges.
    fn tell(&mut self);
}

impl RuntimeMetrics {
    /// Adds them to a client that is being put together and has `metrics`.
    pub fn join(transport: &mut TransportBuilder, metrics: &Metrics) -> Self {
        let config = transport.config();
        if !config.runtime_metrics_enabled() {
            return Self { watched: None };
        }
        let watched = Arc::new(Watched::new(metrics, config));
        watched
            .sources
            .lock()
            .push(Box::new(Process::new(&watched)));
        let told = Arc::clone(&watched);
        transport.every(PERIOD, move || told.tell());
        Self {
            watched: Some(watched),
        }
    }

    /// Tells what `read` returns, each time, as the gauge `runtime.rust.` with `name` after it; nothing where that is `None`.
    /// `read` runs on the client's worker, and is to be quick. Without effect where the config does not ask for
    /// runtime metrics.
    pub fn observe(&self, name: &str, read: impl FnMut() -> Option<f64> + Send + 'static) {
        // In a forked child, the lock may be held by a thread that is not there.
        let here = |watched: &&Arc<Watched>| watched.metrics.is_here();
        let Some(watched) = self.watched.as_ref().filter(here) else {
            return;
        };
        let figure = Figure {
            gauge: watched.gauge(name, None),
            read: Box::new(read),
        };
        watched.figures.lock().push(figure);
    }
}

impl Watched {
    fn new(metrics: &Metrics, config: &DDConfig) -> Self {
        Self {
            metrics: metrics.namespaced("runtime.rust"),
            runtime_id: config.runtime_id().to_owned(),
            sources: Mutex::default(),
            figures: Mutex::default(),
        }
    }

    fn tell(&self) {
        self.sources
            .lock()
            .iter_mut()
            .for_each(|source| source.tell());
        for figure in self.figures.lock().iter_mut() {
            if let Some(value) = (figure.read)() {
                figure.gauge.set(value);
            }
        }
    }

    /// A gauge with the tags of all, and one of its own.
    fn gauge(&self, name: &str, tag: Option<(&str, &str)>) -> Gauge {
        let common = [("lang", "rust"), ("runtime-id", &self.runtime_id)];
        let tags: Vec<_> = common.into_iter().chain(tag).collect();
        self.metrics.gauge_handle(name, tags)
    }
}

impl fmt::Debug for RuntimeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeMetrics")
            .field("enabled", &self.watched.is_some())
            .finish_non_exhaustive()
    }
}
