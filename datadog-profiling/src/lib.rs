//! Continuous profiles for Datadog.
