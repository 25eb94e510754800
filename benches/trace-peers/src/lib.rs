//! Benches of `datadog-trace` beside other clients that send traces to Datadog: `cargo bench -p trace-peers`.

#![allow(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

pub mod clients;
mod count;
pub mod sink;
