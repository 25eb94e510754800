#![doc = include_str!("../../README.md")]

mod client;
mod signals;

pub use client::DDClient;
pub use datadog_config::{self as config, ConfigError, DDConfig, DDConfigBuilder};
#[cfg(feature = "logs")]
pub use datadog_logs::{self as logs, DDLogHandler, Level, Logger, Record};
#[cfg(feature = "metrics")]
pub use datadog_metrics::{self as metrics, Event, ServiceCheck, Tags, Timer};
#[cfg(feature = "profiling")]
pub use datadog_profiling as profiling;
#[cfg(feature = "tracing")]
pub use datadog_trace::{self as tracing, Span, SpanContext, TagValue};
pub use datadog_transport::{
    DropReason, Drops, FlushReport, Health, SignalHealth, SignalKind, TransportError,
};
