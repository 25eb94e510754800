//! A Datadog receiver for tests and first steps: it decodes strictly, keeps what it got, and can be told to fail.
//!
//! [`LocalAgent`] is an agent and an intake in your own process. It listens on free ports and on Unix sockets in a temporary
//! directory, so any number of tests can each have one:
//!
//! ```
//! use std::net::UdpSocket;
//! use std::time::Duration;
//!
//! use datadog_local_agent::LocalAgent;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let agent = LocalAgent::start()?;
//!
//! // What your program does, told to send to `agent.dogstatsd_addr()`:
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! socket.send_to(b"page.views:2|c|#env:test\n", agent.dogstatsd_addr())?;
//!
//! // Wait for the event, not for a time; the error tells what did arrive.
//! agent.wait_for(Duration::from_secs(5), |got| got.metric_sum("page.views") == 2.0)?;
//! assert!(agent.metrics()[0].has_tag("env:test"));
//! assert!(agent.refusals().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Where it listens
//!
//! | what | where | accepted |
//! |---|---|---|
//! | the agent's HTTP, over TCP and Unix socket | [`LocalAgent::url`], [`LocalAgent::trace_socket`] | `/info`, `/v1.0/traces`, `/v0.4/traces`, `/v0.3/traces`, `/v0.6/stats`, `/profiling/v1/input` |
//! | the intake's HTTP | the same two | `/api/v2/logs`, `/api/v2/series`, `/api/v1/distribution_points`, `/api/v2/profile` |
//! | DogStatsD | [`LocalAgent::dogstatsd_addr`], [`LocalAgent::dogstatsd_socket`], [`LocalAgent::dogstatsd_stream_socket`] | metrics, events, service checks |
//!
//! Not there: traces as v0.5 and v0.7 (404, so that a client steps down to v0.4), telemetry, remote configuration,
//! protobuf series, traces as JSON, zstd.
//!
//! # How strict it is
//!
//! Stricter than the real ones. A real agent repairs, cuts, or drops without a word much of what is wrong: a metric name with a
//! blank, a tag that is empty, a span without a service. Here that is refused with a status and a reason that names the place, such as
//! ``chunk 0, span 2: field `duration`: expected a non-negative integer, got str``. One bad part refuses the whole
//! request; of a DogStatsD datagram or frame, each line is taken or refused by itself, and a frame that is too long closes its
//! connection, as an agent does. [`LocalAgent::refusals`] has them all,
//! and a test that ends with `assert!(agent.refusals().is_empty())` has checked every byte sent.
//!
//! # What it says of itself
//!
//! `/info` lists what is served here, but for `/v1.0/traces`: clients change over to that as soon as they have read `/info`, so
//! a test would see now this, now that. With [`LocalAgent::set_info`] it can list it. It does not allow clients to leave traces out, so that all of them arrive, and
//! clients then leave statistics to the agent. `set_info` changes that too: with `"client_drop_p0s": true`
//! clients compute statistics, as they do with a real agent.
//!
//! # Making it fail
//!
//! Faults are for one endpoint or for all, for the next few requests or until [`LocalAgent::heal`]:
//!
//! | fault | what the client sees | payload kept |
//! |---|---|---|
//! | [`Fault::Status`] | this status | no |
//! | [`Fault::RetryAfter`] | this status and a `Retry-After` header | no |
//! | [`Fault::Delay`] | the proper answer, later | yes |
//! | [`Fault::NeverAnswer`] | an open connection and silence | no |
//! | [`Fault::CloseBeforeAnswer`] | the connection torn while it still sends | no |
//! | [`Fault::CloseMidAnswer`] | the connection torn within the answer | yes |
//! | [`Fault::GarbageBody`] | a good status with a senseless body | yes |
//! | [`LocalAgent::stop_listening`] | connections refused, sockets gone, open connections closed | |
//! | [`LocalAgent::restart`] | the agent is back at the same places, with new socket files | |
//! | [`LocalAgent::pause_dogstatsd`] | DogStatsD buffers that fill up | once resumed |
//!
//! "Kept" means that the payload shows up in the queries: a client that sends it again after such a fault makes it come
//! twice, as with a real agent.
//!
//! ```
//! use datadog_local_agent::{Endpoint, Fault, LocalAgent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let agent = LocalAgent::start()?;
//! agent.fail_next(2, Endpoint::Logs, Fault::RetryAfter(429, 1));
//! agent.fail_endpoint(Endpoint::Traces, Fault::NeverAnswer);
//! // … the client copes …
//! agent.heal();
//! # Ok(())
//! # }
//! ```
//!
//! # Looking at it
//!
//! [`LocalAgent::report`] shows all that arrived as trees and tables. The program `datadog-local-agent` does so for whatever
//! sends to the usual ports 8126 and 8125.
//!
//! All that is received stays in memory until [`LocalAgent::clear`].

#![cfg(unix)]

mod agent;
mod datagrams;
mod dogstatsd;
mod endpoint;
mod errors;
mod fault;
mod http;
mod intake;
mod logs;
mod metric;
mod pprof;
mod profile;
mod received;
mod report;
mod request;
mod series;
mod sketch;
mod sockets;
mod stats;
mod streams;
mod thread;
mod timestamp;
mod trace;
mod trace_v1;
mod value;

pub use agent::{Builder, LocalAgent};
pub use endpoint::Endpoint;
pub use errors::{ErrorFrame, ErrorReport};
pub use fault::Fault;
pub use logs::LogEntry;
pub use metric::{Event, Metric, MetricKind, Origin, ServiceCheck, ServiceStatus, Via};
pub use pprof::{Frame, FunctionCost, Label, Pprof, Sample, SampleType};
pub use profile::{Attachment, Profile, ProfileEvent};
pub use received::{Received, WaitError};
pub use report::Report;
pub use request::{Headers, Refusal, Request, Transport};
pub use sketch::Sketch;
pub use sockets::StartError;
pub use stats::{StatsBucket, StatsGroup, StatsKey, StatsPayload};
pub use trace::{Attribute, Span, SpanEvent, SpanLink, TraceChunk};
