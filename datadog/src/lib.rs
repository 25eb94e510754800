//! The Datadog client for Rust: metrics, logs, traces and profiles behind one config.
