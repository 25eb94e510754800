//! A Datadog receiver for tests and first steps: it decodes strictly, keeps what it got, and can be told to fail.

#![cfg(unix)]

mod agent;
mod datagrams;
mod dogstatsd;
mod endpoint;
mod fault;
mod http;
mod intake;
mod logs;
mod metric;
mod pprof;
mod profile;
mod received;
mod request;
mod series;
mod sockets;
mod thread;
mod timestamp;
mod trace;
mod value;

pub use agent::{Builder, LocalAgent};
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use logs::LogEntry;
pub use metric::{Event, Metric, MetricKind, Origin, ServiceCheck, ServiceStatus, Via};
pub use pprof::{Frame, FunctionCost, Label, Pprof, Sample, SampleType};
pub use profile::{Attachment, Profile, ProfileEvent};
pub use received::{Received, WaitError};
pub use request::{Headers, Refusal, Request, Transport};
pub use sockets::StartError;
pub use trace::{Attribute, Span, SpanEvent, SpanLink, TraceChunk};
