//! Datadog logs: structured records to the logs intake.
