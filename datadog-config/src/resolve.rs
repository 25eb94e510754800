//! Walks the layers from high to low, option by option, and says what was wrong on the way.

use crate::error::{Problem, REDACTED, one_line};
use crate::kind::{Kind, Reading};
use crate::layer::{Given, Layer};
use crate::option::OptionInfo;
use crate::origin::Origin;

/// The value of an option, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) source: ValueSource,
}

/// Where a value came from, and how it was written there.
#[derive(Clone, Debug)]
pub(crate) struct ValueSource {
    pub(crate) origin: Origin,
    /// The variable or the file; empty for a default.
    pub(crate) place: String,
    /// As it was written; redacted if it is a secret. `None` if nobody set a value and there is no default.
    pub(crate) text: Option<String>,
}

impl<T> Setting<T> {
    /// Whether anybody set the option.
    pub(crate) fn is_set(&self) -> bool {
        self.source.origin != Origin::Default
    }
}

/// The layers, high to low, and the problems met so far.
#[derive(Debug)]
pub(crate) struct Resolver {
    layers: Vec<Layer>,
    pub(crate) problems: Vec<Problem>,
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
        let first_problem = self.problems.len();
        let setting = self.search::<K>(option);
        let used = describe_use(&setting.source);
        for problem in self.problems.iter_mut().skip(first_problem) {
            problem.using(used.clone());
        }
        setting
    }

    fn search<K: Kind>(&mut self, option: &'static OptionInfo) -> Setting<K::Value> {
        for layer in &self.layers {
            for name in std::iter::once(&option.name).chain(option.aliases) {
                let Some(given) = layer.get(name) else {
                    continue;
                };
                let Reading {
                    value,
                    errors,
                    remark,
                } = K::read(&given.text);
                // Code is named by its setter, everything else by the variable.
                let name = if given.origin == Origin::Code {
                    option.field
                } else {
                    name
                };
                let Given { text, origin, .. } = given;
                let refused = errors
                    .iter()
                    .map(|message| Problem::refused(option, name, text, *origin, message));
                let remarks = remark
                    .iter()
                    .map(|message| Problem::remark(option, name, text, *origin, message));
                self.problems.extend(refused.chain(remarks));
                if let Some(value) = value {
                    return Setting {
                        value,
                        source: source_of(option, given),
                    };
                }
            }
        }
        default::<K>(option)
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

fn source_of(option: &OptionInfo, given: &Given) -> ValueSource {
    let text = if option.sensitive {
        REDACTED.to_owned()
    } else {
        given.text.clone()
    };
    ValueSource {
        origin: given.origin,
        place: given.place.clone(),
        text: Some(text),
    }
}

fn describe_use(source: &ValueSource) -> String {
    match (&source.text, source.origin) {
        (None, _) => "no value".to_owned(),
        (Some(text), Origin::Default) => format!("the default {}", one_line(text)),
        (Some(text), origin) => format!("{} from {origin}", one_line(text)),
    }
}
