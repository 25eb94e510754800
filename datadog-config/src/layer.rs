//! The layers that values come from. `config` collects each of them; they are not merged here, see `resolve.rs`.

use std::collections::BTreeMap;
use std::fmt;

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use crate::origin::Origin;

/// The values of one origin, by the names of the variables.
pub(crate) struct Layer {
    values: BTreeMap<String, Given>,
}

/// A value as it was given.
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// The variable, the setter or the file.
    pub(crate) place: String,
}

impl Layer {
    /// Collects `source`. What is neither a text, a number nor a bool is left out.
    pub(crate) fn collect<S>(origin: Origin, source: S) -> Result<Self, ConfigError>
    where
        S: Source + Send + Sync + 'static,
    {
        let collected = Config::builder().add_source(source).build()?;
        let mut values = BTreeMap::new();
        for (name, value) in collected.cache.into_table()? {
            let place = value.origin().unwrap_or_default().to_owned();
            if let Ok(text) = value.into_string() {
                values.insert(
                    name,
                    Given {
                        text,
                        origin,
                        place,
                    },
                );
            }
        }
        Ok(Self { values })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Given> {
        self.values.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Given)> {
        self.values
            .iter()
            .map(|(name, given)| (name.as_str(), given))
    }
}

/// Texts by the names of the variables, each with the place where it stood. The source of all layers of our own.
#[derive(Clone, Default)]
pub(crate) struct Values(BTreeMap<String, (String, String)>);

impl Values {
    pub(crate) fn insert(&mut self, name: &str, text: String, place: &str) {
        self.0.insert(name.to_owned(), (text, place.to_owned()));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(text, _)| text.as_str())
    }
}

/// Only the names: among the values may be secrets.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Source for Values {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let value = |(text, place): &(String, String)| {
            Value::new(Some(place), ValueKind::String(text.clone()))
        };
        Ok(self
            .0
            .iter()
            .map(|(name, given)| (name.clone(), value(given)))
            .collect())
    }
}
