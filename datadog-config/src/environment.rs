//! The environment: the process's, or one that a test gives.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use crate::error::Problem;
use crate::layer::Values;
use crate::option::is_name;
use crate::origin::Origin;

/// The variables that an option or OpenTelemetry's specification names.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    pub(crate) problems: Vec<Problem>,
}

impl Environment {
    /// The variables of the process. Nothing else of the whole client looks at them.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the environment"
    )]
    pub(crate) fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    pub(crate) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else {
                continue;
            };
            if !name.starts_with("OTEL_") && !is_name(&name) {
                continue;
            }
            match value.into_string() {
                Ok(value) => {
                    environment.variables.insert(name, value);
                }
                Err(_) => {
                    environment.problems.push(Problem::of_layer(
                        &name,
                        Origin::Env,
                        "expected a text in UTF-8; not used",
                    ));
                }
            }
        }
        environment
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Those that are options.
    pub(crate) fn values(&self) -> Values {
        let mut values = Values::default();
        for (name, text) in self.variables.iter().filter(|(name, _)| is_name(name)) {
            values.insert(name, text.clone(), name);
        }
        values
    }
}

/// Only the names: among the values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
