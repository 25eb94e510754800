//! The configuration of the Datadog client: options, their origins, identity and endpoints.

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
mod option;
mod origin;
mod otel;
mod resolve;
mod sampling;
mod secret;
mod site;
mod tags;

pub use builder::DDConfigBuilder;
pub use choice::{Cardinality, ExtractBehavior, LogLevel, PropagationStyle};
pub use config::DDConfig;
pub use describe::{Description, Row};
pub use endpoint::{AgentUrl, DogStatsDUrl, IntakeUrl};
pub use error::{ConfigError, Invalid, Problem};
pub use glob::Glob;
pub use option::{OptionInfo, Signal, options};
pub use origin::Origin;
pub use sampling::{SamplingRule, SpanSamplingRule};
pub use secret::ApiKey;
pub use tags::normalize_tag;
