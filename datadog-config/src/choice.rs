//! Options whose value is one of a few words.

use std::fmt;
use std::str::FromStr;

use crate::error::Invalid;

macro_rules! choice {
    (
        $(#[$meta:meta])* $name:ident: $expects:literal,
        $( $(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $alias:literal)*, )+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl $name {
            pub(crate) const EXPECTS: &str = $expects;
            /// Every value.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The word the option has for it.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            /// Upper and lower case are the same.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text.to_ascii_lowercase().as_str() {
                    $( $word $(| $alias)* => Ok(Self::$variant), )+
                    _ => Err(Invalid::expected(Self::EXPECTS)),
                }
            }
        }
    };
}

choice! {
    /// How many of a container's tags the Agent may add to a metric (`datadog-go: statsd/tag_cardinality.go`).
    Cardinality: "none, low, orchestrator or high",
    /// None.
    None = "none",
    /// Those of few values, such as the image.
    Low = "low",
    /// Those of the orchestrator too, such as the pod.
    Orchestrator = "orchestrator",
    /// All, such as the container.
    High = "high",
}

choice! {
    /// A format of the headers that carry a trace from process to process.
    PropagationStyle: "datadog, tracecontext, baggage, b3, b3multi or none, with commas between them",
    /// `x-datadog-*`.
    Datadog = "datadog",
    /// W3C `traceparent` and `tracestate`.
    TraceContext = "tracecontext",
    /// W3C `baggage`.
    Baggage = "baggage",
    /// B3 in one header.
    B3 = "b3" | "b3 single header",
    /// B3 in several headers.
    B3Multi = "b3multi",
    /// Nothing is read or written.
    None = "none",
}

choice! {
    /// What becomes of the trace context that a request brings.
    #[derive(Default)]
    ExtractBehavior: "continue, restart or ignore",
    /// The trace goes on.
    #[default]
    Continue = "continue",
    /// A new trace starts, linked to the one that came.
    Restart = "restart",
    /// A new trace starts, without a link.
    Ignore = "ignore",
}

choice! {
    /// How much the client says about itself through the `log` facade, target `datadog`.
    #[derive(Default)]
    LogLevel: "off, error, warn, info, debug or trace",
    /// Nothing.
    Off = "off",
    /// What went wrong.
    #[default]
    Error = "error",
    /// What may be wrong.
    Warn = "warn" | "warning",
    /// What happens once in a while.
    Info = "info",
    /// What helps to find a fault.
    Debug = "debug",
    /// Everything.
    Trace = "trace",
}

choice! {
    /// When the program is profiled.
    #[derive(Default)]
    ProfilingEnabled: "true, false or auto (or 1, yes, on, 0, no, off)",
    /// Never, unless it asks for that.
    #[default]
    Off = "false" | "0" | "no" | "off",
    /// From when on it is worth it: it runs for 30 seconds, and made a span (dd-trace-js: `profiling/ssi-heuristics.js`).
    Auto = "auto",
    /// From the start.
    On = "true" | "1" | "yes" | "on",
}

impl From<bool> for ProfilingEnabled {
    fn from(enabled: bool) -> Self {
        if enabled { Self::On } else { Self::Off }
    }
}

choice! {
    /// The newest format in which traces go to the Agent (dd-trace-go: `internal/config/config.go`).
    #[derive(Default)]
    TraceProtocol: "0.4 or 1.0",
    /// `/v0.4/traces`; `/v0.3/traces` where the Agent is too old for that.
    V04 = "0.4" | "v0.4",
    /// `/v1.0/traces`, where the Agent says that it takes it; else as [`V04`](Self::V04).
    #[default]
    V10 = "1.0" | "v1.0",
}
