#![doc = include_str!("../../README.md")]

mod abort;
mod client;
#[cfg(any(feature = "diesel", feature = "tracing-subscriber"))]
mod database;
mod default_client;
pub mod integrations;
#[cfg(feature = "metrics")]
mod macros;
#[cfg(feature = "tracing")]
mod patch;
mod signals;
#[cfg(feature = "tracing-subscriber")]
mod subscriber;

pub use client::DDClient;
pub use datadog_config::{self as config, ConfigError, DDConfig, DDConfigBuilder};
#[cfg(feature = "logs")]
pub use datadog_logs::{self as logs, DDLogHandler, Level, Logger, Record, Value};
#[cfg(feature = "metrics-rs")]
pub use datadog_metrics::MetricsRecorder;
#[cfg(feature = "runtime-metrics")]
pub use datadog_metrics::RuntimeMetrics;
#[cfg(feature = "dogstatsd-compat")]
pub use datadog_metrics::dogstatsd_compat;
#[cfg(feature = "metrics")]
pub use datadog_metrics::{
    self as metrics, Counter, Distribution, Event, Gauge, Histogram, Sampled, ServiceCheck, Tags,
    Timer, Timing,
};
#[cfg(feature = "profiling")]
pub use datadog_profiling as profiling;
#[cfg(feature = "tracing")]
pub use datadog_trace::{
    self as tracing, DetachedSpan, Extract, FutureExt, Inject, Parent, Span, SpanContext, SpanKind,
    TagValue, traced,
};
pub use datadog_transport::{
    DropReason, Drops, FlushReport, Health, LastError, SignalHealth, SignalKind, TransportError,
};
pub use default_client::{InitError, InitGuard, client, init_from_env};
#[cfg(feature = "tracing")]
pub use patch::{PatchReport, PatchStatus, PatchedModule};
#[cfg(feature = "tracing-subscriber")]
pub use subscriber::DDTracingLayer;

/// For the code of macros. No API: it may change with any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::default_client::default_client;
    #[cfg(feature = "tracing")]
    pub use crate::signals::tracing::start;
    #[cfg(feature = "tracing")]
    pub use datadog_trace::__private::*;
}
