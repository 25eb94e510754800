//! What each signal adds to [`DDClient`](crate::DDClient).

#[cfg(all(feature = "runtime-metrics", feature = "profiling"))]
mod allocations;
#[cfg(feature = "logs")]
mod logs;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "metrics-rs")]
mod metrics_rs;
#[cfg(feature = "profiling")]
mod profiling;
#[cfg(feature = "runtime-metrics")]
pub(crate) mod runtime_metrics;
#[cfg(feature = "runtime-metrics-tokio")]
mod tokio;
#[cfg(feature = "tracing")]
pub(crate) mod tracing;
