//! The builder: values from code, and where the other layers are.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Source;
use serde_json::Value;

use crate::choice::{
    Cardinality, ExtractBehavior, LogLevel, ProfilingEnabled, PropagationStyle, TraceProtocol,
};
use crate::config::{DDConfig, Settings};
use crate::derive::{Host, derive};
use crate::environment::Environment;
use crate::error::{ConfigError, Problem};
use crate::layer::{Layer, Values};
use crate::modules::ModuleSwitches;
use crate::option::{Id, option_table};
use crate::origin::Origin;
use crate::resolve::Resolver;
use crate::sampling::{SamplingRule, SpanSamplingRule};
use crate::{file, identity, logs_level, otel, scrub, tags};

/// Collects what code sets. Nothing is checked before [`build`](Self::build).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct DDConfigBuilder {
    code: Values,
    sources: Vec<Box<dyn Source + Send + Sync>>,
    environment: Option<Environment>,
    added_variables: Vec<(String, String)>,
    local_file: Option<PathBuf>,
    fleet_file: Option<PathBuf>,
    pub(crate) host: Host,
}

impl DDConfigBuilder {
    /// Uses these variables instead of the process's. For tests, and for programs that keep their own.
    ///
    /// The host's configuration files are then only read if [`local_file`](Self::local_file) and
    /// [`fleet_file`](Self::fleet_file) name them, so that a test depends on nothing but what it says.
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

    /// Reads this file instead of the host's `application_monitoring.yaml`. It need not exist, unlike the one that
    /// [`config_file`](Self::config_file) names.
    pub fn local_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.local_file = Some(path.into());
        self
    }

    /// Reads this file instead of the `application_monitoring.yaml` of fleet automation. It need not exist.
    pub fn fleet_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.fleet_file = Some(path.into());
        self
    }

    /// Finds out what `program` would, if this process started it with `variables` beside its own: for launchers.
    ///
    /// The program is looked for by `PATH`, as a shell does. An empty name stands for a program that is not known yet.
    pub fn for_program(
        mut self,
        program: impl AsRef<OsStr>,
        variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        self.host.executable = identity::executable_of(program.as_ref());
        let variables = variables.into_iter();
        self.added_variables
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Adds a layer of the program's own, such as its settings file read by the `config` crate.
    ///
    /// It holds options by the names of their variables, and ranks below the environment and above the host's local file. Of
    /// several sources the one added last ranks highest. A source that can't be collected is an error of [`build`](Self::build).
    pub fn source(mut self, source: impl Source + Send + Sync + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// Checks everything and finds out the rest: identity and addresses. Each problem is logged once, by the `log` facade.
    ///
    /// # Errors
    ///
    /// If values from code can't be used; the error lists all of them. Bad values from elsewhere are no errors, see
    /// [`DDConfig::problems`].
    pub fn build(self) -> Result<DDConfig, ConfigError> {
        let host = self.host.clone();
        let (mut resolver, mut problems) = self.collect();
        let settings = Settings::resolve(&mut resolver);
        let modules = ModuleSwitches::resolve(&settings.patch_modules, &mut resolver);
        problems.append(&mut resolver.problems);
        let mut inner = derive(settings, modules, &host, problems);
        let (errors, problems): (Vec<_>, Vec<_>) = inner
            .problems
            .into_iter()
            .partition(Problem::is_error_of_code);
        if !errors.is_empty() {
            return Err(ConfigError::new(errors));
        }
        inner.problems = problems;
        let config = DDConfig(Arc::new(inner));
        report(&config);
        Ok(config)
    }

    /// The layers, high to low. What the remote configuration says will come before all of them.
    fn collect(self) -> (Resolver, Vec<Problem>) {
        let is_real = self.environment.is_none();
        let mut environment = self.environment.unwrap_or_else(Environment::of_process);
        environment.add(&self.added_variables);
        let usual = |path: &str| is_real.then(|| PathBuf::from(path));
        let fleet_file = self.fleet_file.or_else(|| usual(file::HERE.fleet));
        let (fleet, fleet_problems) = fleet_file
            .map(|path| file::read(&path, Origin::FleetFile))
            .unwrap_or_default();
        let config_file = Id::config_file.info().name;
        let named = self
            .code
            .get(config_file)
            .or_else(|| environment.get(config_file))
            .filter(|path| !path.trim().is_empty());
        let (local, local_problems) = match (self.local_file, named) {
            (Some(path), _) => file::read(&path, Origin::LocalFile),
            (None, Some(path)) => file::read_existing(Path::new(path), Origin::LocalFile),
            (None, None) => usual(file::HERE.local)
                .map(|path| file::read(&path, Origin::LocalFile))
                .unwrap_or_default(),
        };
        let otel = otel::translate(&environment);
        let variables = environment.values();
        let mut problems = [
            fleet_problems,
            environment.problems,
            otel.problems,
            local_problems,
        ]
        .concat();

        let mut layers = Vec::new();
        let mut add = |origin, collected: Result<Layer, config::ConfigError>| match collected {
            Ok(layer) => layers.push(layer),
            Err(error) => problems.push(Problem::of_layer(
                "source",
                origin,
                &format!("can't be collected: {error}"),
            )),
        };
        for (origin, values) in [
            (Origin::Code, self.code),
            (Origin::FleetFile, fleet),
            (Origin::Env, variables),
            (Origin::OtelEnv, otel.values),
        ] {
            add(origin, Layer::collect(origin, values));
        }
        for source in self.sources.into_iter().rev() {
            // That the program gave it makes its failure an error of code.
            add(Origin::Code, Layer::collect(Origin::Source, vec![source]));
        }
        add(Origin::LocalFile, Layer::collect(Origin::LocalFile, local));
        (Resolver::new(layers), problems)
    }

    fn set(mut self, id: Id, text: String) -> Self {
        let option = id.info();
        self.code.insert(option.name, text, option.field);
        self
    }
}

fn report(config: &DDConfig) {
    for problem in config.problems() {
        log::warn!(target: "datadog", "{problem}");
    }
    if config.startup_logs() {
        log::info!(target: "datadog", "configuration:\n{}", config.describe());
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
    (Protocol, $field:ident, $doc:expr) => {
        setter! { @display protocol: TraceProtocol, $field, $doc }
    };
    (Profiling, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, enabled: impl Into<ProfilingEnabled>) -> Self {
            self.set(Id::$field, enabled.into().to_string())
        }
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
    (Statuses, $field:ident, $doc:expr) => {
        #[doc = $doc]
        pub fn $field(self, ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
            let print = |range: RangeInclusive<u16>| format!("{}-{}", range.start(), range.end());
            let ranges: Vec<String> = ranges.into_iter().map(print).collect();
            self.set(Id::$field, ranges.join(","))
        }
    };
    (Switches, $field:ident, $doc:expr) => {
        #[doc = $doc]
        ///
        /// Takes pairs such as `[("redis", false)]`.
        pub fn $field(self, pairs: impl IntoIterator<Item = (impl AsRef<str>, bool)>) -> Self {
            let print = |(name, on): (_, bool)| format!("{}:{on}", AsRef::<str>::as_ref(&name));
            let pairs: Vec<String> = pairs.into_iter().map(print).collect();
            self.set(Id::$field, pairs.join(","))
        }
    };
    (LevelRates, $field:ident, $doc:expr) => {
        setter! { @levels $field, $doc }
    };
    (LevelLimits, $field:ident, $doc:expr) => {
        setter! { @levels $field, $doc }
    };
    (ScrubRules, $field:ident, $doc:expr) => {
        #[doc = $doc]
        ///
        /// Takes pairs of a regular expression and what is put in place of what fits, such as
        /// `[(r"\b4\d{15}\b", "[card]")]`: see [`ScrubRule`](crate::ScrubRule).
        pub fn $field(
            self,
            rules: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
        ) -> Self {
            self.set(Id::$field, scrub::print(rules))
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
    (@levels $field:ident, $doc:expr) => {
        #[doc = $doc]
        ///
        /// Takes pairs such as `[("debug", 0.1)]`.
        pub fn $field(self, pairs: impl IntoIterator<Item = (impl AsRef<str>, f64)>) -> Self {
            self.set(Id::$field, logs_level::print(pairs))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::option::OPTIONS;

    /// Of a kind: a text, the same value as the setter takes it, and a text that is no such value.
    ///
    /// `$other` is a bool that is not the option's default, `$file` the path of a file with no rules.
    macro_rules! example {
        (Flag, $other:expr, $file:expr) => {
            (if $other { "yes" } else { "off" }, $other, Some("maybe"))
        };
        (Text, $other:expr, $file:expr) => {
            ($file, $file, Some(" "))
        };
        (List, $other:expr, $file:expr) => {
            ("one, two", ["one", "two"], None)
        };
        (Tags, $other:expr, $file:expr) => {
            ("a:b,c:d", [("a", "b"), ("c", "d")], None)
        };
        (Switches, $other:expr, $file:expr) => {
            (
                "redis:no, sqlx:1",
                [("redis", false), ("sqlx", true)],
                Some("redis:maybe"),
            )
        };
        (Statuses, $other:expr, $file:expr) => {
            ("404, 500-502", [404..=404, 500..=502], Some("5xx"))
        };
        (Pattern, $other:expr, $file:expr) => {
            ("a+", "a+", None)
        };
        (Port, $other:expr, $file:expr) => {
            ("1234", 1234, Some("0"))
        };
        (Host, $other:expr, $file:expr) => {
            ("[::1]", "::1", Some("a:1"))
        };
        (Rate, $other:expr, $file:expr) => {
            ("0.25", 0.25, Some("off"))
        };
        (PerSecond, $other:expr, $file:expr) => {
            ("7.5", 7.5, Some("-1"))
        };
        (Count, $other:expr, $file:expr) => {
            ("7", 7, Some("0"))
        };
        (TagsLength, $other:expr, $file:expr) => {
            ("100", 100, Some("513"))
        };
        (Seconds, $other:expr, $file:expr) => {
            ("1.5", Duration::from_millis(1500), Some("0"))
        };
        (PollSeconds, $other:expr, $file:expr) => {
            ("1.5", Duration::from_millis(1500), Some("6"))
        };
        (TraceUrl, $other:expr, $file:expr) => {
            ("http://agent:1/x", "http://agent:1/x/", Some("ftp://x"))
        };
        (StatsUrl, $other:expr, $file:expr) => {
            ("unixgram:///s", "unixgram:///s", Some("http://x"))
        };
        (Intake, $other:expr, $file:expr) => {
            ("https://a", "https://a:443", Some("a"))
        };
        (Output, $other:expr, $file:expr) => {
            (
                "tcp://[::1]:10518/",
                "tcp://[::1]:10518",
                Some("tcp://agent"),
            )
        };
        (LevelRates, $other:expr, $file:expr) => {
            (
                "debug:0.1, info:1",
                [("debug", 0.1), ("info", 1.0)],
                Some("debug:2"),
            )
        };
        (LevelLimits, $other:expr, $file:expr) => {
            ("debug:100", [("debug", 100.0)], Some("loud:1"))
        };
        (CardinalityName, $other:expr, $file:expr) => {
            ("low", Cardinality::Low, Some("some"))
        };
        (Behavior, $other:expr, $file:expr) => {
            ("Restart", ExtractBehavior::Restart, Some("go"))
        };
        (Profiling, $other:expr, $file:expr) => {
            ("AUTO", ProfilingEnabled::Auto, Some("maybe"))
        };
        (Protocol, $other:expr, $file:expr) => {
            ("v0.4", TraceProtocol::V04, Some("0.5"))
        };
        (Level, $other:expr, $file:expr) => {
            ("WARN", LogLevel::Warn, Some("loud"))
        };
        (Styles, $other:expr, $file:expr) => {
            (
                "b3, B3Multi",
                [PropagationStyle::B3, PropagationStyle::B3Multi],
                Some("b3,xray"),
            )
        };
        (Secret, $other:expr, $file:expr) => {
            (KEY, KEY, Some("a b"))
        };
        (Site, $other:expr, $file:expr) => {
            ("us5.datadoghq.com", "US5.datadoghq.com", Some("https://x"))
        };
        (TraceRules, $other:expr, $file:expr) => {
            (
                r#"[{"service": "web", "sample_rate": 0.5}]"#,
                [SamplingRule::new(0.5).service("web")],
                Some("{}"),
            )
        };
        (ScrubRules, $other:expr, $file:expr) => {
            (
                r#"[{"type":"mask_sequences","pattern":"a+","replace_placeholder":"b"}]"#,
                [("a+", "b")],
                Some(r#"[{"pattern": "("}]"#),
            )
        };
        (SpanRules, $other:expr, $file:expr) => {
            (
                r#"[{"service": "web"}]"#,
                [SpanSamplingRule::new(1.0).service("web")],
                Some("[1]"),
            )
        };
    }

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn with(variables: &[(&str, &str)]) -> DDConfigBuilder {
        DDConfig::builder().environment(variables.iter().copied())
    }

    fn write_yaml(path: &Path, name: &str, value: &str) {
        let quoted = value.replace('\'', "''");
        fs::write(
            path,
            format!("apm_configuration_default:\n  {name}: '{quoted}'\n"),
        )
        .unwrap();
    }

    macro_rules! check_every_row {
        ($( $section:ident { $(
            $(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $(| $alias:literal)*, $signal:ident
            $(, default $default:literal)? $(, otel $($otel:literal)+)?;
        )+ } )+) => {
            #[test]
            fn every_row_is_parsed_from_everywhere() {
                let directory = tempfile::tempdir().unwrap();
                let (rules, yaml) = (directory.path().join("rules.json"), directory.path().join("some.yaml"));
                fs::write(&rules, "[]").unwrap();
                let rules = rules.to_str().unwrap();
                $($(
                    let option = Id::$field.info();
                    let (text, given, bad) = example!($kind, option.default != Some("true"), rules);
                    let setting = |builder: DDConfigBuilder, origin, place: &str| {
                        let config = builder.build().unwrap();
                        assert_eq!(config.problems(), [], "{}", option.name);
                        let setting = config.0.settings.$field.clone();
                        assert_eq!((setting.source.origin, setting.source.place.as_str()), (origin, place), "{}", option.name);
                        setting.value
                    };
                    let value = setting(with(&[]).$field(given), Origin::Code, option.field);
                    let default = setting(with(&[]), Origin::Default, "");
                    assert_ne!(value, default, "{}", option.name);
                    for name in std::iter::once(&option.name).chain(option.aliases) {
                        assert_eq!(setting(with(&[(name, text)]), Origin::Env, name), value, "{name}");
                        write_yaml(&yaml, name, text);
                        let place = yaml.to_str().unwrap();
                        assert_eq!(setting(with(&[]).local_file(&yaml), Origin::LocalFile, place), value, "{name}");
                        assert_eq!(setting(with(&[]).fleet_file(&yaml), Origin::FleetFile, place), value, "{name}");
                    }
                    let bad: Option<&str> = bad;
                    if let Some(bad) = bad {
                        let config = with(&[(option.name, bad)]).build().unwrap();
                        assert_eq!(config.0.settings.$field.value, default, "{}", option.name);
                        assert_eq!(config.problems().len(), 1, "{}", option.name);
                        assert_eq!(config.problems()[0].option(), option.name);
                    }
                )+)+
            }
        };
    }

    option_table!(check_every_row);

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = OPTIONS
            .iter()
            .flat_map(|option| option.aliases.iter().chain([&option.name]))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
