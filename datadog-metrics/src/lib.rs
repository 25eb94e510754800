//! Datadog metrics for Rust: aggregated in the process, sent to DogStatsD, without an async runtime.
//!
//! Used through the `datadog` facade (feature `metrics`), or alone:
//!
//! ```
//! use datadog_config::DDConfig;
//! use datadog_metrics::Metrics;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let agent = datadog_local_agent::LocalAgent::start()?;
//! # let url = agent.dogstatsd_url();
//! let config = DDConfig::builder().service("shop").dogstatsd_url(url).build()?;
//! let metrics = Metrics::start(&config)?;
//!
//! metrics.increment("page.views", [("route", "/cart")]);
//! metrics.gauge("queue.depth", 12.0, ["queue:mail"]);
//! {
//!     let _timer = metrics.measure("checkout.seconds", ());
//!     // … work …
//! } // the time since `measure` is recorded here
//!
//! // A metric in a hot place is looked up once:
//! let hits = metrics.counter("cache.hits", [("cache", "users")]);
//! hits.increment(1);
//! # assert_eq!(
//! metrics.flush(std::time::Duration::from_secs(1)).delivered
//! # , 4);
//! # agent.wait_for(std::time::Duration::from_secs(5), |got| got.metrics().len() == 4)?;
//! # assert!(agent.metrics_named("page.views")[0].has_tag("service:shop"));
//! # Ok(()) }
//! ```
//!
//! A submitted value goes into a cell of its thread, without a lock, a shared counter or an allocation. Every 2 seconds
//! the worker reads the cells of all threads, writes one line for each context (kind, name and tags), and
//! packs the lines into datagrams. What the server's socket does not take stays owed: the next line contains it.
//! Every 10 seconds it adds the official clients' metrics about the client itself, `datadog.dogstatsd.client.*`, and where the
//! same client has traces, `datadog.tracer.*` from their account.
//!
//! # Without an agent
//!
//! With [`metrics_agentless`](datadog_config::DDConfig::metrics_agentless), or `DD_METRICS_AGENTLESS=true` in the
//! environment, the worker posts the same contexts to the API of the site every 10 seconds, with the API key:
//!
//! | kind | arrives as |
//! |---|---|
//! | count | a count of 10 seconds |
//! | gauge | a gauge |
//! | set | a gauge: how many different members there were since the last post |
//! | distribution, histogram, timing, `measure` | a distribution of the same name; timings in milliseconds |
//! | `count_at`, `gauge_at` | a count of one second, a gauge |
//! | event, service check | is dropped, as `NoReceiver` |
//!
//! - Of more than 1,024 values of one context between two posts, an even choice of 1,024 arrives. The API has no sample
//!   rate, so the rest counts as dropped, as `Sampled`, and the distribution's count and sum are lower by their part.
//! - Datadog keeps one point for each name, tags, host and second. The client never sends two; but two processes with
//!   equal names, tags and host overwrite each other, so give each a tag of its own.
//! - [`Metrics::sampled`] takes every value, as there is no sample rate to tell.
//! - A context with more than 100 tags, the most that Datadog keeps, is dropped as `Invalid`.
//! - The metrics about the client itself are not sent.

mod agentless;
mod bodies;
mod call_site;
mod cell;
mod context;
#[cfg(feature = "dogstatsd-compat")]
pub mod dogstatsd_compat;
mod encode;
mod event;
mod handle;
mod key;
mod local;
mod metrics;
mod owed;
mod rate;
#[cfg(feature = "metrics-rs")]
mod recorder;
mod registry;
#[cfg(feature = "runtime-metrics")]
mod runtime;
mod sampled;
mod samples;
mod shared;
mod sink;
mod slot;
mod tags;
mod telemetry;
mod timer;
mod tracer_health;

pub use call_site::CallSite;
pub use event::{AlertType, Event, Priority, ServiceCheck, Status};
pub use handle::{Counter, Distribution, Gauge, Histogram, Timing};
pub use metrics::Metrics;
#[cfg(feature = "metrics-rs")]
pub use recorder::MetricsRecorder;
#[cfg(feature = "runtime-metrics")]
pub use runtime::RuntimeMetrics;
pub use sampled::Sampled;
pub use tags::{Tag, Tags};
pub use timer::Timer;

// What a program that uses this crate alone has to name.
pub use datadog_config::{ConfigError, DDConfig, DDConfigBuilder};
pub use datadog_transport::{FlushReport, Health, Standalone, TransportError};
