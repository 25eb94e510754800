//! Benches of `datadog-metrics` beside other DogStatsD clients: `cargo xtask bench metrics`.
//!
//! `benches/metrics.rs` measures single calls on the caller's thread, `benches/figures.rs` whole processes: what the CPU spends
//! on a metric, and what is lost. Each peer is set up as its documentation says, with a size of datagrams that fits the transport.

mod clients;

pub use clients::{Server, cadence, dogstatsd, exporter, libdd, ours};
