//! The builder: values from code, and where the other layers are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::choice::{Cardinality, ExtractBehavior, LogLevel, PropagationStyle};
use crate::config::{DDConfig, Fact, Inner, Settings};
use crate::discover::{self, SOCKETS};
use crate::endpoint::IntakeUrl;
use crate::error::{ConfigError, Problem};
use crate::identity::{self, RuntimeId};
use crate::layer::{CodeSource, Environment, Layer};
use crate::option::{Id, option_table};
use crate::origin::Origin;
use crate::resolve::{Resolver, Setting};
use crate::sampling::{SamplingRule, SpanSamplingRule};
use crate::tags;

/// Collects what code sets. Nothing is checked before [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct DDConfigBuilder {
    code: CodeSource,
    environment: Option<Environment>,
    sockets: PathBuf,
}

impl DDConfigBuilder {
    pub(crate) fn new() -> Self {
        Self {
            code: CodeSource::default(),
            environment: None,
            sockets: PathBuf::from(SOCKETS),
        }
    }

    /// Uses these variables instead of the process's. For tests, and for programs that keep their own.
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        self.environment = Some(Environment::new(variables));
        self
    }

    /// Checks everything and finds out the rest: identity and addresses.
    ///
    /// # Errors
    ///
    /// If values from code can't be used; the error lists all of them. Bad values from elsewhere are no errors, see
    /// [`DDConfig::problems`].
    pub fn build(self) -> Result<DDConfig, ConfigError> {
        let environment = self.environment.unwrap_or_else(Environment::of_process);
        let mut problems = environment.problems().to_vec();
        let mut layers = Vec::new();
        let collected = [
            (Origin::Code, Layer::collect(Origin::Code, self.code)),
            (Origin::Env, Layer::collect(Origin::Env, environment)),
        ];
        for (origin, layer) in collected {
            match layer {
                Ok(layer) => layers.push(layer),
                Err(error) => problems.push(Problem::of_layer("", origin, &error.to_string())),
            }
        }
        let mut resolver = Resolver::new(layers);
        let settings = Settings::resolve(&mut resolver);
        let (errors, rest): (Vec<_>, Vec<_>) = resolver
            .problems
            .into_iter()
            .partition(Problem::is_error_of_code);
        if !errors.is_empty() {
            return Err(ConfigError::new(errors));
        }
        problems.extend(rest);
        Ok(DDConfig(Arc::new(derive(
            settings,
            problems,
            &self.sockets,
        ))))
    }

    fn set(mut self, id: Id, text: String) -> Self {
        self.code.set(id.info().name, text);
        self
    }
}

/// Finds out what no option says.
fn derive(settings: Settings, problems: Vec<Problem>, sockets: &Path) -> Inner {
    let tag = |key: &str| {
        let (_, value) = settings
            .tags
            .value
            .iter()
            .rev()
            .find(|(name, value)| name == key && !value.is_empty())?;
        let source = &settings.tags.source;
        Some(Fact {
            value: Some(value.clone()),
            origin: source.origin,
            place: source.place.clone(),
        })
    };
    let service = own(&settings.service).or_else(|| tag("service"));
    let env = own(&settings.env).or_else(|| tag("env"));
    let version = own(&settings.version).or_else(|| tag("version"));
    let found = |value, place: &str| Fact {
        value,
        origin: Origin::Calculated,
        place: place.to_owned(),
    };
    let identity_keys = ["service", "env", "version"];
    let tags = settings
        .tags
        .value
        .iter()
        .filter(|(key, _)| !identity_keys.contains(&key.as_str()))
        .cloned()
        .collect();
    let site = &settings.datadog_site.value;
    let logs_intake = settings
        .logs_direct_submission_url
        .value
        .clone()
        .or_else(|| {
            settings
                .api_key
                .value
                .as_ref()
                .map(|_| IntakeUrl::https(format!("http-intake.logs.{site}")))
        });
    Inner {
        service: service
            .unwrap_or_else(|| found(identity::executable_name(), "the executable's name")),
        env: env.unwrap_or_else(unset),
        version: version.unwrap_or_else(unset),
        hostname: own(&settings.hostname)
            .unwrap_or_else(|| found(identity::system_hostname(), "the system's name")),
        container_id: unset(),
        entity_id: own(&settings.entity_id).unwrap_or_else(unset),
        tags,
        runtime_id: RuntimeId::new(),
        trace_agent: discover::trace_agent(&settings, sockets),
        dogstatsd: discover::dogstatsd(&settings, sockets),
        logs_intake,
        problems,
        settings,
    }
}

/// What an option says, if anybody set it.
fn own(setting: &Setting<Option<String>>) -> Option<Fact> {
    let value = setting.value.clone()?;
    Some(Fact {
        value: Some(value),
        origin: setting.source.origin,
        place: setting.source.place.clone(),
    })
}

fn unset() -> Fact {
    Fact {
        value: None,
        origin: Origin::Default,
        place: String::new(),
    }
}

macro_rules! setters {
    ($( $section:ident { $(
        $(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $(| $alias:literal)*, $signal:ident
        $(, default $default:literal)? $(, otel $($otel:literal)+)?;
    )+ } )+) => {
        /// One setter an option.
        impl DDConfigBuilder { $($(
            setter! { $kind, $field, concat!($( $help, )+ "\n\nOption `", $name, "`" $(, ", default `", $default, "`")?, ".") }
        )+)+ }
    };
}

macro_rules! setter {
    (Flag, $field:ident, $doc:expr) => {
        setter! { @display on: bool, $field, $doc }
    };
    (Port, $field:ident, $doc:expr) => {
        setter! { @display port: u16, $field, $doc }
    };
    (Rate, $field:ident, $doc:expr) => {
        setter! { @display rate: f64, $field, $doc }
    };
    (PerSecond, $field:ident, $doc:expr) => {
        setter! { @display per_second: f64, $field, $doc }
    };
    (Count, $field:ident, $doc:expr) => {
        setter! { @display count: usize, $field, $doc }
    };
    (TagsLength, $field:ident, $doc:expr) => {
        setter! { @display bytes: usize, $field, $doc }
    };
    (CardinalityName, $field:ident, $doc:expr) => {
        setter! { @display cardinality: Cardinality, $field, $doc }
    };
    (Behavior, $field:ident, $doc:expr) => {
        setter! { @display behavior: ExtractBehavior, $field, $doc }
    };
    (Level, $field:ident, $doc:expr) => {
        setter! { @display level: LogLevel, $field, $doc }
    };
    (Seconds, $field:ident, $doc:expr) => {
        setter! { @seconds $field, $doc }
    };
    (PollSeconds, $field:ident, $doc:expr) => {
        setter! { @seconds $field, $doc }
    };
    (List, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
            let names: Vec<String> = names.into_iter().map(Into::into).collect();
            self.set(Id::$field, names.join(","))
        }
    };
    (Styles, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, styles: impl IntoIterator<Item = PropagationStyle>) -> Self {
            let styles: Vec<_> = styles.into_iter().map(PropagationStyle::as_str).collect();
            self.set(Id::$field, styles.join(","))
        }
    };
    (Tags, $field:ident, $doc:expr) => {
        #[doc = $doc]
        ///
        /// A comma, and a colon in a key, are written as `_`: Datadog's tags have none.
        pub fn $field(
            self,
            tags: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
        ) -> Self {
            self.set(Id::$field, tags::print(tags))
        }
    };
    (TraceRules, $field:ident, $doc:expr) => {
        #[doc = $doc]
        ///
        /// Takes [`SamplingRule`]s, and triples of service, environment and rate such as `[("web", "prod", 0.02)]`.
        pub fn $field(self, rules: impl IntoIterator<Item = impl Into<SamplingRule>>) -> Self {
            let rules = rules
                .into_iter()
                .map(|rule| rule.into().to_json())
                .collect();
            self.set(Id::$field, Value::Array(rules).to_string())
        }
    };
    (SpanRules, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, rules: impl IntoIterator<Item = SpanSamplingRule>) -> Self {
            let rules = rules.into_iter().map(|rule| rule.to_json()).collect();
            self.set(Id::$field, Value::Array(rules).to_string())
        }
    };
    (@display $argument:ident: $value:ty, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, $argument: $value) -> Self {
            self.set(Id::$field, $argument.to_string())
        }
    };
    (@seconds $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, time: Duration) -> Self {
            self.set(Id::$field, time.as_secs_f64().to_string())
        }
    };
    // Every other kind is given as a text.
    ($text:ident, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, text: impl Into<String>) -> Self {
            self.set(Id::$field, text.into())
        }
    };
}

option_table!(setters);
