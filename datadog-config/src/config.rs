//! The configuration: values, fixed once built.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::DDConfigBuilder;
use crate::choice::{
    Cardinality, ExtractBehavior, LogLevel, ProfilingEnabled, PropagationStyle, TraceProtocol,
};
use crate::describe::{Description, Row};
use crate::discover::Chosen;
use crate::endpoint::{AgentUrl, DogStatsDUrl, IntakeUrl};
use crate::error::{ConfigError, Problem, shown};
use crate::identity::RuntimeId;
use crate::kind::{self, Kind};
use crate::logs_output::LogsOutput;
use crate::modules::{ModuleSwitch, ModuleSwitches};
use crate::option::{Id, option_table};
use crate::origin::Origin;
use crate::resolve::{Resolver, Setting, ValueSource};
use crate::sampling::{SamplingRule, SpanSamplingRule};
use crate::scrub::ScrubRule;
use crate::secret::ApiKey;

/// Every option and what follows from it. Fixed at [`build`](DDConfigBuilder::build), cheap to clone.
///
/// Where each value came from is shown by [`describe`](Self::describe), what was wrong by [`problems`](Self::problems).
#[derive(Clone)]
pub struct DDConfig(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) modules: ModuleSwitches,
    pub(crate) service: Fact,
    pub(crate) env: Fact,
    pub(crate) version: Fact,
    pub(crate) git_commit: Fact,
    pub(crate) git_repository: Fact,
    pub(crate) hostname: Fact,
    pub(crate) container_id: Fact,
    pub(crate) entity_id: Fact,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) process_tags: Option<String>,
    pub(crate) runtime_id: RuntimeId,
    pub(crate) trace_agent: Chosen<AgentUrl>,
    pub(crate) dogstatsd: Chosen<DogStatsDUrl>,
    pub(crate) logs_intake: Option<IntakeUrl>,
    pub(crate) metrics_intake: Option<IntakeUrl>,
    pub(crate) profiles_intake: Option<IntakeUrl>,
    pub(crate) problems: Vec<Problem>,
}

/// A value that an option gives or that is found out.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
    /// The variable, the setter, the file or the way it was found.
    pub(crate) place: String,
}

impl DDConfig {
    /// Starts a configuration from code, over the fleet file, the environment, OpenTelemetry's environment, the local file and
    /// the defaults.
    pub fn builder() -> DDConfigBuilder {
        DDConfigBuilder::default()
    }

    /// The configuration without code.
    ///
    /// # Errors
    ///
    /// None today: only values from code are errors, and there are none here.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::builder().build()
    }

    /// The name of the service. Default: the name of the executable.
    pub fn service(&self) -> &str {
        self.0.service.value.as_deref().unwrap_or_default()
    }

    /// The environment, such as `prod`.
    pub fn env(&self) -> Option<&str> {
        self.0.env.value.as_deref()
    }

    /// The version of the service.
    pub fn version(&self) -> Option<&str> {
        self.0.version.value.as_deref()
    }

    /// The tags of `DD_TAGS` as they were written, without `service`, `env` and `version`. See
    /// [`normalize_tag`](crate::normalize_tag) for the form Datadog keeps.
    pub fn tags(&self) -> &[(String, String)] {
        &self.0.tags
    }

    /// The git commit that was built.
    pub fn git_commit_sha(&self) -> Option<&str> {
        self.0.git_commit.value.as_deref()
    }

    /// The git repository that was built, without a user and password.
    pub fn git_repository_url(&self) -> Option<&str> {
        self.0.git_repository.value.as_deref()
    }

    /// Tags that tell processes of one service apart, in the form of the span tag `_dd.tags.process`.
    pub fn process_tags(&self) -> Option<&str> {
        self.0.process_tags.as_deref()
    }

    /// The name of the host. Default: what the system says.
    pub fn hostname(&self) -> Option<&str> {
        self.0.hostname.value.as_deref()
    }

    /// A random UUID (version 4) that names this process; a forked process has its own.
    pub fn runtime_id(&self) -> &str {
        self.0.runtime_id.get()
    }

    /// The id of the container this process runs in.
    pub fn container_id(&self) -> Option<&str> {
        self.0.container_id.value.as_deref()
    }

    /// What the `Datadog-Entity-ID` header says: `ci-` and the container id, or `in-` and the inode of the cgroup.
    pub fn entity_id(&self) -> Option<&str> {
        self.0.entity_id.value.as_deref()
    }

    /// What the Datadog admission controller knows of this container, as the `Datadog-External-Env` header says it.
    pub fn external_env(&self) -> Option<&str> {
        self.0.settings.external_env.value.as_deref()
    }

    /// Where the Agent takes traces and profiles.
    pub fn trace_agent(&self) -> &AgentUrl {
        &self.0.trace_agent.url
    }

    /// Where DogStatsD takes metrics.
    pub fn dogstatsd(&self) -> &DogStatsDUrl {
        &self.0.dogstatsd.url
    }

    /// The API key.
    pub fn api_key(&self) -> Option<&ApiKey> {
        self.0.settings.api_key.value.as_ref()
    }

    /// The Datadog site, such as `datadoghq.com`.
    pub fn site(&self) -> &str {
        &self.0.settings.datadog_site.value
    }

    /// Base URL of the logs intake, without the path `/api/v2/logs`: the configured one, else that of the site if there is an
    /// API key.
    pub fn logs_intake_url(&self) -> Option<&IntakeUrl> {
        self.0.logs_intake.as_ref()
    }

    /// Base URL of the metrics intake, without the paths `/api/v2/series` and `/api/v1/distribution_points`: the configured one,
    /// else that of the site if there is an API key. `None` where [`metrics_agentless`](Self::metrics_agentless) is off.
    pub fn metrics_intake_url(&self) -> Option<&IntakeUrl> {
        self.0.metrics_intake.as_ref()
    }

    /// Base URL of the profiles intake, without the path `/api/v2/profile`: the configured one, else that of the site if there
    /// is an API key. `None` where [`profiling_agentless`](Self::profiling_agentless) is off.
    pub fn profiles_intake_url(&self) -> Option<&IntakeUrl> {
        self.0.profiles_intake.as_ref()
    }

    /// How much the client logs about itself; `DD_TRACE_DEBUG` means at least `debug`.
    pub fn log_level(&self) -> LogLevel {
        let Settings {
            debug, log_level, ..
        } = &self.0.settings;
        if debug.value && log_level.value != LogLevel::Trace {
            LogLevel::Debug
        } else {
            log_level.value
        }
    }

    /// Which header formats are read.
    pub fn propagation_style_extract(&self) -> &[PropagationStyle] {
        self.styles(&self.0.settings.propagation_style_extract)
    }

    /// Which header formats are written.
    pub fn propagation_style_inject(&self) -> &[PropagationStyle] {
        self.styles(&self.0.settings.propagation_style_inject)
    }

    fn styles<'a>(
        &'a self,
        specific: &'a Setting<Option<Vec<PropagationStyle>>>,
    ) -> &'a [PropagationStyle] {
        let general = &self.0.settings.propagation_style.value;
        specific
            .value
            .as_deref()
            .or(general.as_deref())
            .unwrap_or_default()
    }

    /// Rules that keep single spans of traces that are not kept.
    pub fn span_sampling_rules(&self) -> &[SpanSamplingRule] {
        &self.0.settings.span_sampling_rules.value
    }

    /// Whether `DD_PATCH_MODULES` or `DD_TRACE_<NAME>_ENABLED` switches the library of this name, and with what. Case makes no
    /// difference, and `-` none from `_`.
    pub fn module_switch(&self, name: &str) -> Option<ModuleSwitch<'_>> {
        self.0.modules.find(name)
    }

    /// What is wrong with the values of the environment and the files. The values in use are others, or as the line says.
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// Every option and derived fact with its value and origin, secrets left out.
    pub fn describe(&self) -> Description {
        let inner = &*self.0;
        let mut rows = vec![
            chosen("trace_agent", &inner.trace_agent),
            chosen("dogstatsd", &inner.dogstatsd),
            intake("logs_intake", inner.logs_intake.as_ref()),
            intake("metrics_intake", inner.metrics_intake.as_ref()),
            intake("profiles_intake", inner.profiles_intake.as_ref()),
            fact("service", &inner.service),
            fact("env", &inner.env),
            fact("version", &inner.version),
            fact("git_commit_sha", &inner.git_commit),
            fact("git_repository_url", &inner.git_repository),
            fact("hostname", &inner.hostname),
            fact("container_id", &inner.container_id),
            fact("entity_id", &inner.entity_id),
        ];
        rows.extend(inner.settings.sources().map(|(id, source)| {
            let value = source.text.as_deref().map_or_else(nothing, shown);
            Row {
                option: id.info().name,
                value,
                origin: source.origin,
                place: source.place.clone(),
            }
        }));
        rows.extend(inner.modules.row());
        Description::new(rows)
    }
}

fn chosen(name: &'static str, chosen: &Chosen<impl fmt::Display>) -> Row {
    Row {
        option: name,
        value: chosen.url.to_string(),
        origin: Origin::Calculated,
        place: chosen.reason.clone(),
    }
}

fn intake(name: &'static str, url: Option<&IntakeUrl>) -> Row {
    let url = url.map(ToString::to_string);
    fact(
        name,
        &Fact::found(url, "the intake's URL, or the site and an API key"),
    )
}

fn fact(name: &'static str, fact: &Fact) -> Row {
    let value = fact.value.as_deref().map_or_else(nothing, shown);
    Row {
        option: name,
        value,
        origin: fact.origin,
        place: fact.place.clone(),
    }
}

fn nothing() -> String {
    "-".to_owned()
}

/// The table of [`describe`](Self::describe), so no secret either.
impl fmt::Debug for DDConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = self.describe();
        f.debug_map()
            .entries(
                description
                    .rows()
                    .iter()
                    .map(|row| (row.option, &row.value)),
            )
            .finish()
    }
}

macro_rules! settings {
    (inputs { $($input:tt)* } values { $($value:tt)* }) => {
        settings_struct! { $($input)* $($value)* }
        impl DDConfig { getters! { $($value)* } }
    };
}

macro_rules! settings_struct {
    ($( $(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $(| $alias:literal)*, $signal:ident
        $(, default $default:literal)? $(, otel $($otel:literal)+)?; )+
    ) => {
        /// The value of every option, with its source.
        #[derive(Clone)]
        pub(crate) struct Settings {
            $( pub(crate) $field: Setting<<kind::$kind as Kind>::Value>, )+
        }

        impl Settings {
            pub(crate) fn resolve(resolver: &mut Resolver) -> Self {
                Self { $( $field: resolver.setting::<kind::$kind>(Id::$field.info()), )+ }
            }

            fn sources(&self) -> impl Iterator<Item = (Id, &ValueSource)> {
                [$( (Id::$field, &self.$field.source), )+].into_iter()
            }
        }
    };
}

macro_rules! getters {
    ($( $(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $(| $alias:literal)*, $signal:ident
        $(, default $default:literal)? $(, otel $($otel:literal)+)?; )+
    ) => { $(
        getter! { $kind, $field, concat!($( $help, )+ "\n\nOption `", $name, "`" $(, ", default `", $default, "`")?, ".") }
    )+ };
}

macro_rules! getter {
    (Flag, $field:ident, $doc:expr) => {
        getter! { @copy bool, $field, $doc }
    };
    (Rate, $field:ident, $doc:expr) => {
        getter! { @copy Option<f64>, $field, $doc }
    };
    (PerSecond, $field:ident, $doc:expr) => {
        getter! { @copy f64, $field, $doc }
    };
    (Count, $field:ident, $doc:expr) => {
        getter! { @copy usize, $field, $doc }
    };
    (TagsLength, $field:ident, $doc:expr) => {
        getter! { @copy usize, $field, $doc }
    };
    (Seconds, $field:ident, $doc:expr) => {
        getter! { @copy Duration, $field, $doc }
    };
    (PollSeconds, $field:ident, $doc:expr) => {
        getter! { @copy Duration, $field, $doc }
    };
    (Profiling, $field:ident, $doc:expr) => {
        getter! { @copy ProfilingEnabled, $field, $doc }
    };
    (CardinalityName, $field:ident, $doc:expr) => {
        getter! { @copy Option<Cardinality>, $field, $doc }
    };
    (Behavior, $field:ident, $doc:expr) => {
        getter! { @copy ExtractBehavior, $field, $doc }
    };
    (Protocol, $field:ident, $doc:expr) => {
        getter! { @copy TraceProtocol, $field, $doc }
    };
    (Level, $field:ident, $doc:expr) => {
        getter! { @copy LogLevel, $field, $doc }
    };
    (Output, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(&self) -> &LogsOutput {
            &self.0.settings.$field.value
        }
    };
    (LevelRates, $field:ident, $doc:expr) => {
        getter! { @slice (String, f64), $field, $doc }
    };
    (LevelLimits, $field:ident, $doc:expr) => {
        getter! { @slice (String, f64), $field, $doc }
    };
    (Text, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(&self) -> Option<&str> {
            self.0.settings.$field.value.as_deref()
        }
    };
    (List, $field:ident, $doc:expr) => {
        getter! { @slice String, $field, $doc }
    };
    (Switches, $field:ident, $doc:expr) => {
        getter! { @slice (String, bool), $field, $doc }
    };
    (Tags, $field:ident, $doc:expr) => {
        getter! { @slice (String, String), $field, $doc }
    };
    (Statuses, $field:ident, $doc:expr) => {
        getter! { @slice RangeInclusive<u16>, $field, $doc }
    };
    (Pattern, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(&self) -> Option<&str> {
            self.0.settings.$field.value.as_deref()
        }
    };
    (TraceRules, $field:ident, $doc:expr) => {
        getter! { @slice SamplingRule, $field, $doc }
    };
    (ScrubRules, $field:ident, $doc:expr) => {
        getter! { @slice ScrubRule, $field, $doc }
    };
    (@copy $value:ty, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(&self) -> $value {
            self.0.settings.$field.value
        }
    };
    (@slice $item:ty, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(&self) -> &[$item] {
            &self.0.settings.$field.value
        }
    };
}

option_table!(settings);
