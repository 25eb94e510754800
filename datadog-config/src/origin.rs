//! Where a value came from.

use std::fmt;

/// Where the value of an option came from. Later ones beat earlier ones.
///
/// The order and the telemetry names are those of Datadog's libraries (`dd-trace-go: internal/config/provider`,
/// `system-tests: test_config_consistency.py::test_config_precedence`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The host's `application_monitoring.yaml`.
    LocalFile,
    /// A source that the program gave with [`DDConfigBuilder::source`](crate::DDConfigBuilder::source).
    Source,
    /// An `OTEL_*` variable.
    OtelEnv,
    /// A `DD_*` variable.
    Env,
    /// The `application_monitoring.yaml` that Datadog's fleet automation manages.
    FleetFile,
    /// A call of the builder.
    Code,
    /// A change at run time. No layer has this origin yet.
    Remote,
    /// Found or derived: a hostname, a discovered socket, a container id.
    Calculated,
}

impl Origin {
    /// The name Datadog's telemetry has for this origin (`libdatadog: libdd-telemetry/src/data/payloads.rs`).
    pub fn telemetry_name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::LocalFile => "local_stable_config",
            Self::Source => "code",
            Self::OtelEnv => "otel_env_var",
            Self::Env => "env_var",
            Self::FleetFile => "fleet_stable_config",
            Self::Code => "code",
            Self::Remote => "remote_config",
            Self::Calculated => "calculated",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::LocalFile => "local file",
            Self::Source => "source",
            Self::OtelEnv => "otel env",
            Self::Env => "env",
            Self::FleetFile => "fleet file",
            Self::Code => "code",
            Self::Remote => "remote",
            Self::Calculated => "calculated",
        })
    }
}
