//! Walks the layers from high to low, option by option, and says what was wrong on the way.

use std::iter;

use crate::error::{Problem, REDACTED, shown};
use crate::kind::{Kind, Reading};
use crate::layer::{Given, Layer};
use crate::option::OptionInfo;
use crate::origin::Origin;

/// The layers, high to low, and the problems met so far.
pub(crate) struct Resolver {
    pub(crate) layers: Vec<Layer>,
    pub(crate) problems: Vec<Problem>,
}

/// The value of an option, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) source: ValueSource,
}

/// Where a value came from, and how it is written.
#[derive(Clone, Debug)]
pub(crate) struct ValueSource {
    pub(crate) origin: Origin,
    /// The variable, the setter or the file; empty for a default.
    pub(crate) place: String,
    /// Stars if it is a secret. `None` if nobody set a value and there is no default.
    pub(crate) text: Option<String>,
}

impl Resolver {
    pub(crate) fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers,
            problems: Vec::new(),
        }
    }

    /// The first value that can be used: of the highest layer, and in a layer of the documented name before its aliases.
    pub(crate) fn setting<K: Kind>(&mut self, option: &'static OptionInfo) -> Setting<K::Value> {
        let mut problems = Vec::new();
        let setting = self
            .search::<K>(option, &mut problems)
            .unwrap_or_else(|| default::<K>(option));
        let outcome = setting.source.outcome();
        for problem in &mut problems {
            problem.conclude(outcome.clone());
        }
        self.problems.append(&mut problems);
        setting
    }

    fn search<K: Kind>(
        &self,
        option: &'static OptionInfo,
        problems: &mut Vec<Problem>,
    ) -> Option<Setting<K::Value>> {
        let names = || iter::once(&option.name).chain(option.aliases);
        let given = self.layers.iter().flat_map(|layer| {
            names().filter_map(|name| layer.get(name).map(|given| (*name, given)))
        });
        for (
            variable,
            Given {
                text,
                origin,
                place,
            },
        ) in given
        {
            let Reading {
                value,
                errors,
                remark,
                written,
            } = K::read(text);
            let name = match origin {
                Origin::Code | Origin::OtelEnv => place,
                _ => variable,
            };
            problems.extend(
                errors
                    .iter()
                    .map(|error| Problem::refused(option, name, text, *origin, error)),
            );
            problems.extend(
                remark
                    .iter()
                    .map(|remark| Problem::remark(option, name, text, *origin, remark)),
            );
            if let Some(value) = value {
                let text = if option.sensitive {
                    REDACTED.to_owned()
                } else {
                    written.unwrap_or_else(|| text.clone())
                };
                let source = ValueSource {
                    origin: *origin,
                    place: place.clone(),
                    text: Some(text),
                };
                return Some(Setting { value, source });
            }
        }
        None
    }
}

fn default<K: Kind>(option: &OptionInfo) -> Setting<K::Value> {
    let value = option
        .default
        .and_then(|text| K::read(text).value)
        .unwrap_or_default();
    let text = option.default.map(str::to_owned);
    Setting {
        value,
        source: ValueSource {
            origin: Origin::Default,
            place: String::new(),
            text,
        },
    }
}

impl ValueSource {
    /// The end of a problem's line: what is used instead.
    fn outcome(&self) -> String {
        match (&self.text, self.origin) {
            (None, _) => "not used".to_owned(),
            (Some(text), Origin::Default) => format!("using the default {}", shown(text)),
            (Some(text), origin) => format!("using {} from {origin}", shown(text)),
        }
    }
}
