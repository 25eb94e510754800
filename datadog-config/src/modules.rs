//! Libraries that are switched on and off: `DD_PATCH_MODULES`, and `DD_TRACE_<NAME>_ENABLED` for one alone, as in Datadog's
//! other libraries (dd-trace-py: `ddtrace/_monkey.py`).

use crate::describe::Row;
use crate::error::{Problem, shown};
use crate::kind::flag;
use crate::option::{Id, is_option};
use crate::origin::Origin;
use crate::resolve::{Resolver, Setting};

/// What switches one library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleSwitch<'a> {
    /// Whether the library is on.
    pub on: bool,
    /// The variable, the setter or the file that says so.
    pub place: &'a str,
}

/// What is switched, by the names that the options give, those that win first.
#[derive(Clone, Debug)]
pub(crate) struct ModuleSwitches(Vec<Switch>);

#[derive(Clone, Debug)]
struct Switch {
    name: String,
    on: bool,
    place: String,
    origin: Origin,
    /// Whether a variable of its own switches it.
    alone: bool,
}

impl ModuleSwitches {
    /// The pairs of `DD_PATCH_MODULES` beat the variables of single libraries.
    pub(crate) fn resolve(pairs: &Setting<Vec<(String, bool)>>, resolver: &mut Resolver) -> Self {
        let source = &pairs.source;
        // Of several pairs with one name the last one counts.
        let pairs = pairs.value.iter().rev().map(|(name, on)| Switch {
            name: name.clone(),
            on: *on,
            place: match source.origin {
                Origin::Env => source.place.clone(),
                _ => format!("{} ({})", Id::patch_modules.info().name, source.place),
            },
            origin: source.origin,
            alone: false,
        });
        let mut switches: Vec<_> = pairs.collect();
        for layer in &resolver.layers {
            for (variable, given) in layer.iter() {
                let Some(name) = named_by(variable) else {
                    continue;
                };
                match flag(&given.text) {
                    Some(on) => switches.push(Switch {
                        name: name.to_owned(),
                        on,
                        place: match given.origin {
                            Origin::Env => given.place.clone(),
                            _ => format!("{variable} ({})", given.place),
                        },
                        origin: given.origin,
                        alone: true,
                    }),
                    None => resolver.problems.push(Problem::of_layer(
                        variable,
                        given.origin,
                        &format!(
                            "expected true or false, got {}; not used",
                            shown(&given.text)
                        ),
                    )),
                }
            }
        }
        Self(switches)
    }

    pub(crate) fn find(&self, name: &str) -> Option<ModuleSwitch<'_>> {
        let switch = self.0.iter().find(|switch| is_same(&switch.name, name))?;
        Some(ModuleSwitch {
            on: switch.on,
            place: &switch.place,
        })
    }

    /// The variables of single libraries, for people; those of `DD_PATCH_MODULES` have a row of their own.
    pub(crate) fn row(&self) -> Option<Row> {
        let list: Vec<_> = self.0.iter().filter(|switch| switch.alone).collect();
        let first = list.first()?;
        let pairs = list
            .iter()
            .map(|switch| format!("{}:{}", switch.name.to_ascii_lowercase(), switch.on));
        Some(Row {
            option: "DD_TRACE_<NAME>_ENABLED",
            value: shown(&pairs.collect::<Vec<_>>().join(",")),
            origin: first.origin,
            place: first.place.clone(),
        })
    }
}

/// The library that a variable switches: `REDIS` of `DD_TRACE_REDIS_ENABLED`.
pub(crate) fn named_by(variable: &str) -> Option<&str> {
    let name = variable
        .strip_prefix("DD_TRACE_")?
        .strip_suffix("_ENABLED")?;
    (!name.is_empty() && !is_option(variable)).then_some(name)
}

fn is_same(one: &str, other: &str) -> bool {
    let letters = |name: &str| {
        name.trim()
            .bytes()
            .map(|byte| match byte {
                b'-' => b'_',
                byte => byte.to_ascii_lowercase(),
            })
            .collect::<Vec<_>>()
    };
    letters(one) == letters(other)
}

#[cfg(test)]
mod tests {
    use crate::{DDConfig, Origin};

    #[test]
    fn libraries_are_switched_by_pairs_and_one_by_one() {
        let config = DDConfig::builder()
            .environment([
                ("DD_TRACE_REDIS_ENABLED", "false"),
                ("DD_TRACE_SEA_ORM_ENABLED", "0"),
                ("DD_TRACE_AXUM_ENABLED", "false"),
                ("DD_TRACE_FRED_ENABLED", "perhaps"),
                ("DD_PATCH_MODULES", "axum:true,tower-http:false"),
            ])
            .build()
            .unwrap();
        let of = |name| {
            let switch = config.module_switch(name)?;
            Some((switch.on, switch.place))
        };
        assert_eq!(of("redis"), Some((false, "DD_TRACE_REDIS_ENABLED")));
        assert_eq!(of("sea-orm"), Some((false, "DD_TRACE_SEA_ORM_ENABLED")));
        assert_eq!(of("axum"), Some((true, "DD_PATCH_MODULES")));
        assert_eq!(of("tower_http"), Some((false, "DD_PATCH_MODULES")));
        assert_eq!(of("fred"), None);
        assert_eq!(of("stats-computation"), None, "an option of its own");
        let problems: Vec<_> = config.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            ["DD_TRACE_FRED_ENABLED (env): expected true or false, got perhaps; not used"]
        );
        let described = config.describe();
        let row = described.rows().last().unwrap();
        assert_eq!(row.option, "DD_TRACE_<NAME>_ENABLED");
        assert_eq!(row.value, "axum:false,redis:false,sea_orm:false");
        assert_eq!(row.origin, Origin::Env);
    }

    #[test]
    fn files_and_code_switch_them_too() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("some.yaml");
        let text = "apm_configuration_default:\n  DD_TRACE_REDIS_ENABLED: false\n";
        std::fs::write(&file, text).unwrap();
        let builder = || {
            DDConfig::builder()
                .environment([("", "")])
                .local_file(&file)
        };
        let config = builder().build().unwrap();
        let switch = config.module_switch("redis").unwrap();
        assert!(!switch.on && switch.place.starts_with("DD_TRACE_REDIS_ENABLED (/"));
        let config = builder().patch_modules([("redis", true)]).build().unwrap();
        assert!(config.module_switch("redis").unwrap().on);
        assert_eq!(config.patch_modules(), [("redis".to_owned(), true)]);
    }
}
