//! Datadog traces for Rust: spans to the Datadog agent, without an async runtime.
//!
//! Used through the `datadog` facade (feature `tracing`), or alone:
//!
//! ```
//! use datadog_config::DDConfig;
//! use datadog_trace::Tracer;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let agent = datadog_local_agent::LocalAgent::start()?;
//! # let url = agent.url();
//! let config = DDConfig::builder().service("shop").agent_url(url).build()?;
//! let tracer = Tracer::start(&config)?;
//! {
//!     let mut span = tracer.trace("cart.checkout");
//!     span.set_tag("cart.items", 3);
//!     let _payment = tracer.trace("payment.charge"); // a child of `span`
//! } // both are finished here
//! # assert_eq!(
//! tracer.flush(std::time::Duration::from_secs(1)).delivered
//! # , 2);
//! # Ok(()) }
//! ```
//!
//! A span is active on its thread from [`Tracer::trace`] until it is finished or dropped; spans that start
//! meanwhile on the same thread become its children. When the last open span of a trace is finished, the whole
//! trace is handed to the worker thread, which encodes it and posts it to the agent.
//!
//! Whether a trace is kept is decided late, when it is told to another process or when its first span ends, so that
//! sampling rules see what the program said about that span. Statistics of all spans, kept or not, are computed on the
//! worker where the agent takes them; what is not kept is then left out, but for traces with errors. Other agents get
//! everything, marked as kept or not, and compute the statistics themselves.
//!
//! On the caller's thread, spans of traces that are not kept cost what others cost, even where the caller of this process
//! decided so: until the trace ends the program may keep it after all, one error keeps all of it, and rules may keep
//! single spans of it by what they became.
//!
//! Where the agent's `/info` says that it hides what spans must not tell (values in SQL, arguments of Redis commands, users
//! and queries of URLs, numbers of payment cards), it is hidden here already: in resources, in `sql.query`, in `http.url`, and
//! cards in all tags. The official clients do so for statistics alone, and leave the spans themselves to the agent. Statements
//! in other tags, such as `db.statement`, stay as they are, as the agent leaves them too.
//!
//! With `DD_TRACE_EXPERIMENTAL_LONG_RUNNING_ENABLED`, traces that run for long are shown before they end, as dd-trace-java
//! does it: from time to time the worker sends what is finished, and the first span as it is so far. Other open spans are
//! not shown, as only their threads know them. Each such report counts as spans of its own in [`Health`].
//!
//! To leave the process, [inject](Tracer::inject) the trace into the headers of a request, and
//! [extract](Tracer::extract) it on the other side. To leave the thread, [detach](Span::detach) a span, start children
//! from its [context](Span::context), or put a future [into it](FutureExt::in_span).

mod baggage;
mod batch;
mod bench;
mod carried;
mod context;
mod detached;
#[cfg(target_os = "linux")]
mod discovery;
mod encode;
mod endpoint;
mod event;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod keep_rate;
mod key;
mod kind;
mod link;
mod local;
mod long_running;
mod msgpack;
mod obfuscate;
mod panics;
mod peer_service;
mod percent;
mod place;
mod pool;
mod prefetch;
#[cfg(target_os = "linux")]
mod process_context;
mod profiled;
mod propagate;
mod protobuf;
mod reused;
mod sample;
mod service;
mod sink;
mod span;
mod span_data;
mod startup;
mod stats;
mod tag;
mod tags;
mod ticks;
mod trace;
mod traced;
mod tracer;
mod waiting;

pub use context::SpanContext;
pub use detached::{DetachedSpan, FutureExt, InSpan};
pub use event::{EventValue, SpanEvent};
pub use key::{SpanKey, SpanKeys};
pub use kind::SpanKind;
pub use link::SpanLink;
pub use obfuscate::{obfuscate_sql, quantize_redis};
pub use panics::fail_spans_on_panic;
pub use propagate::{Extract, Inject};
pub use span::{Parent, Span};
pub use tag::TagValue;
pub use tracer::Tracer;

pub use datadog_trace_macros::traced;

/// For the code of [`traced`](macro@traced), and for benches. No API: it may change with any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::bench::Encoding;
    pub use crate::traced::*;
}

// What a program that uses this crate alone has to name.
pub use datadog_config::{ConfigError, DDConfig, DDConfigBuilder};
pub use datadog_transport::{FlushReport, Health, Standalone, TransportError};
