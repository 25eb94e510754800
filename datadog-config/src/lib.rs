//! The configuration of the Datadog client: options, their origins, identity and endpoints.
//!
//! ```
//! # fn main() -> Result<(), datadog_config::ConfigError> {
//! use datadog_config::DDConfig;
//!
//! let config = DDConfig::builder()
//!     .service("web")
//!     .env("prod")
//!     .agent_url("localhost")
//!     .tracing_sampling_rules([("web", "prod", 0.02)])
//!     .build()?;
//!
//! assert_eq!(config.trace_agent().to_string(), "http://localhost:8126");
//! // Every option and derived fact, its value, and the variable, file or setter it came from.
//! println!("{}", config.describe());
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//!
//! An option has the value of the highest layer that has a usable one: code, the fleet file, `DD_*` variables, `OTEL_*` variables,
//! sources of the program, the local file, the default ([`Origin`]). All of them are texts and read by the same parsers.
//!
//! What code sets wrongly is a [`ConfigError`] that lists everything. What is wrong elsewhere never stops the program: the next
//! layer counts, and [`DDConfig::problems`] tells.
//!
//! # Options
//!
//! There is one table of options ([`options`]); the setters, the getters, [`DDConfig::describe`] and the reference page
//! ([`options_page`]) come from it.
//!
//! # In tests
//!
//! [`DDConfigBuilder::environment`] takes the place of the process's variables and of the host's files.

mod builder;
mod choice;
mod config;
mod container;
mod derive;
mod describe;
mod discover;
mod endpoint;
mod environment;
mod error;
mod file;
mod git;
mod glob;
mod identity;
mod kind;
mod layer;
mod logs_level;
mod logs_output;
mod modules;
mod option;
mod origin;
mod otel;
mod page;
mod resolve;
mod sampling;
mod scrub;
mod secret;
mod site;
mod tags;

pub use builder::DDConfigBuilder;
pub use choice::{
    Cardinality, ExtractBehavior, LogLevel, ProfilingEnabled, PropagationStyle, TraceProtocol,
};
pub use config::DDConfig;
pub use describe::{Description, Row};
pub use endpoint::{AgentUrl, DogStatsDUrl, IntakeUrl};
pub use error::{ConfigError, Invalid, Problem};
pub use glob::Glob;
pub use identity::program_name;
pub use logs_output::LogsOutput;
pub use modules::ModuleSwitch;
pub use option::{OptionInfo, Signal, options};
pub use origin::Origin;
pub use page::options_page;
pub use sampling::{Provenance, SamplingRule, SpanSamplingRule};
pub use scrub::ScrubRule;
pub use secret::ApiKey;
pub use tags::{normalize_tag, normalize_tag_value};
