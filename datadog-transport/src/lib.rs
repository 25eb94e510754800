//! What moves data to Datadog: one worker thread, bounded queues, HTTP over TCP and Unix sockets, DogStatsD
//! sockets, retries, and an account of every item.
//!
//! Users rarely name this crate: the `datadog` facade and each signal crate hand its types out. A signal takes
//! three steps to join in:
//!
//! 1. a [`TransportBuilder`] gives it an [`Account`], a [`Waker`] and, if it talks to the agent, the shared
//!    [`AgentClient`];
//! 2. it puts a [`Signal`] into the builder: the half that runs on the worker;
//! 3. [`TransportBuilder::start`] starts the one thread that drives all signals.
//!
//! The way of the data: callers push into a [`Queue`]; the worker lets each signal encode what waits there into
//! [`Payload`]s; an [`Outbox`] sends them, keeps what may still be delivered, and counts what is given up.

mod account;
mod agent;
mod alone;
pub mod context;
pub mod diagnostics;
mod encoding;
mod error;
mod error_report;
mod fork;
mod health;
mod http;
pub mod in_spans;
mod info;
mod intake;
mod look_up;
mod outbox;
mod payload;
pub mod profiled;
mod queue;
mod resolve;
mod retry;
mod room;
mod standalone;
mod statsd;
mod sync;
#[cfg(datadog_otel_context)]
mod thread_context;
#[cfg(not(datadog_otel_context))]
#[path = "thread_context/off.rs"]
mod thread_context;
mod transport;
mod unix;
mod worker;

pub use account::{Account, Accounts};
pub use agent::{AgentClient, RUSTC_VERSION, TARGET};
pub use encoding::ContentEncoding;
pub use error::TransportError;
pub use error_report::{ErrorReport, ErrorStack};
pub use fork::Birthplace;
pub use health::{DropReason, Drops, FlushReport, Health, LastError, SignalHealth, SignalKind};
pub use http::{Answer, Headers, SendError};
pub use info::{AgentInfo, CreditCards, Obfuscation, TagFilters};
pub use intake::IntakeClient;
pub use look_up::LookUp;
pub use outbox::Outbox;
pub use payload::{Frame, Part, Payload};
pub use queue::{Aside, Queue};
pub use room::Room;
pub use standalone::Standalone;
pub use statsd::{StatsdError, StatsdSocket};
pub use transport::{Seat, Transport, TransportBuilder};
pub use worker::{Occasion, Pass, Signal, Waker, on_worker};
