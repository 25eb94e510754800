//! What each signal adds to [`DDClient`](crate::DDClient).

#[cfg(feature = "logs")]
mod logs;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "profiling")]
mod profiling;
#[cfg(feature = "tracing")]
pub(crate) mod tracing;
