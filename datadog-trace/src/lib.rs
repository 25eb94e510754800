//! Datadog traces: spans to the Datadog agent.
