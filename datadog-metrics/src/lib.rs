//! Datadog metrics over DogStatsD.
