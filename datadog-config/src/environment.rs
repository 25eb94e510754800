//! The environment: the process's, or one that a test gives.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::error::Problem;
use crate::layer::Values;
use crate::option::is_name;
use crate::origin::Origin;

/// Where programs are looked for, by `PATH`.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader of the environment"
)]
pub(crate) fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// The variables that an option or OpenTelemetry's specification names.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    /// Those of the variables that a launcher is going to set.
    added: BTreeSet<String>,
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

    /// Sets variables over the others, as a launcher does for its program.
    pub(crate) fn add(&mut self, variables: &[(String, String)]) {
        for (name, value) in variables {
            self.variables.insert(name.clone(), value.clone());
            self.added.insert(name.clone());
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Those that are options.
    pub(crate) fn values(&self) -> Values {
        let mut values = Values::default();
        for (name, text) in self.variables.iter().filter(|(name, _)| is_name(name)) {
            if self.added.contains(name) {
                values.insert(name, text.clone(), &format!("{name}, by the launcher"));
            } else {
                values.insert(name, text.clone(), name);
            }
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
