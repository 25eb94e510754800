//! The layers that values come from. `config` collects each of them; they are not merged here, see `resolve.rs`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use config::{Config, Map, Source, Value, ValueKind};

use crate::error::Problem;
use crate::option::OPTIONS;
use crate::origin::Origin;

/// The values of one origin, by the names of the variables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    values: BTreeMap<String, Given>,
}

/// A value as it was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// The variable, or the file.
    pub(crate) place: String,
}

impl Layer {
    /// Collects `source`. Values that are neither a text, a number nor a bool are left out.
    pub(crate) fn collect<S>(origin: Origin, source: S) -> Result<Self, config::ConfigError>
    where
        S: Source + Send + Sync + 'static,
    {
        let collected = Config::builder().add_source(source).build()?;
        let mut layer = Self::default();
        for (name, value) in collected.cache.into_table()? {
            let place = value.origin().unwrap_or(&name).to_owned();
            if let Ok(text) = value.into_string() {
                layer.values.insert(
                    name,
                    Given {
                        text,
                        origin,
                        place,
                    },
                );
            }
        }
        Ok(layer)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Given> {
        self.values.get(name)
    }
}

/// What the builder was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeSource {
    values: BTreeMap<&'static str, String>,
}

impl CodeSource {
    pub(crate) fn set(&mut self, name: &'static str, text: String) {
        self.values.insert(name, text);
    }
}

impl Source for CodeSource {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self
            .values
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text_value(name, text)))
            .collect())
    }
}

/// Variables: those of the process, or those a test names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    values: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Environment {
    /// Keeps the variables that some option or the OpenTelemetry mapping may ask for.
    pub(crate) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else {
                continue;
            };
            if !(name.starts_with("OTEL_") || names_an_option(&name)) {
                continue;
            }
            match value.into_string() {
                Ok(value) => drop(environment.values.insert(name, value)),
                Err(_) => environment.problems.push(Problem::of_layer(
                    &name,
                    Origin::Env,
                    "expected a UTF-8 text; not used",
                )),
            }
        }
        environment
    }

    /// The variables of the process. The only place of the whole client that looks at them.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the environment"
    )]
    pub(crate) fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let values = self.values.iter().filter(|(name, _)| names_an_option(name));
        Ok(values
            .map(|(name, text)| (name.clone(), text_value(name, text)))
            .collect())
    }
}

pub(crate) fn text_value(place: &str, text: &str) -> Value {
    Value::new(Some(&place.to_owned()), ValueKind::String(text.to_owned()))
}

fn names_an_option(name: &str) -> bool {
    OPTIONS
        .iter()
        .any(|option| option.name == name || option.aliases.contains(&name))
}
