//! Nothing: the tests are what this crate is for. They hold `datadog-trace`, as an agent sees it, against the crates that
//! Datadog publishes for its own clients. Run them with `cargo test -p trace-conformance`.
