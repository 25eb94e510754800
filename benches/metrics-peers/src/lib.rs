//! Benches of `datadog-metrics` beside other DogStatsD clients: `cargo bench -p metrics-peers`.
