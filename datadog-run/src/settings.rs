//! The variables that the program gets, and the configuration that it will have.

use std::ffi::OsStr;

use datadog_config::{ConfigError, DDConfig, Description, Origin, Row, program_name};

/// What the program gets beside our own environment, and what it makes of it.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) variables: Vec<(String, String)>,
    /// As the program will see it.
    pub(crate) config: DDConfig,
}

impl Settings {
    /// The defaults for `program`; its name is empty if it is not known. Nothing that is set is touched.
    pub(crate) fn new(program: &OsStr, config_file: Option<String>) -> Result<Self, ConfigError> {
        let named = config_file.map(|file| ("DD_CONFIG_FILE".to_owned(), file));
        let mut settings = Self::of(program, named.into_iter().collect())?;
        let defaults = defaults(program, &settings.config);
        settings.add(program, defaults)?;
        Ok(settings)
    }

    /// Sets `variables` over what is there, and reads the configuration again.
    pub(crate) fn add(
        &mut self,
        program: &OsStr,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<(), ConfigError> {
        let variables = variables.into_iter();
        self.variables
            .extend(variables.map(|(name, value)| (name.to_owned(), value)));
        *self = Self::of(program, std::mem::take(&mut self.variables))?;
        Ok(())
    }

    fn of(program: &OsStr, variables: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let config = DDConfig::builder()
            .for_program(program, variables.iter().cloned())
            .build()?;
        Ok(Self { variables, config })
    }
}

/// The variables that nobody set, with the values that a program started by us has.
fn defaults(program: &OsStr, config: &DDConfig) -> Vec<(&'static str, String)> {
    let described = config.describe();
    let is_free = |variable: &str, fact: &str| {
        // A value that can't be used is set too: its problem is to be seen.
        let mut problems = config.problems().iter();
        !problems.any(|problem| problem.option() == variable)
            && row(&described, variable).is_none_or(is_unset)
            && row(&described, fact).is_none_or(is_unset)
    };
    let yes = || Some("true".to_owned());
    let service = program_name(program);
    [
        ("DD_TRACE_PATCH", "tracing_patch", yes()),
        ("DD_SERVICE", "service", service),
        ("DD_VERSION_USE_GIT", "version", yes()),
    ]
    .into_iter()
    .filter(|(variable, fact, _)| is_free(variable, fact))
    .filter_map(|(variable, _, value)| Some((variable, value?)))
    .collect()
}

/// The row of an option or of what follows from options.
pub(crate) fn row<'a>(described: &'a Description, option: &str) -> Option<&'a Row> {
    described.rows().iter().find(|row| row.option == option)
}

/// Whether nobody set it.
pub(crate) fn is_unset(row: &Row) -> bool {
    matches!(row.origin, Origin::Default | Origin::Calculated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The defaults for a program `./shop.sh` where the user has these variables.
    fn defaults_over(variables: &[(&str, &str)]) -> Vec<String> {
        let config = DDConfig::builder().environment(variables.iter().copied());
        let set = defaults("./shop.sh".as_ref(), &config.build().unwrap());
        set.iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn what_nobody_set_is_set() {
        let all = [
            "DD_TRACE_PATCH=true",
            "DD_SERVICE=shop",
            "DD_VERSION_USE_GIT=true",
        ];
        assert_eq!(defaults_over(&[]), all);
        assert_eq!(
            defaults_over(&[("DD_ENV", "prod"), ("DD_TAGS", "team:a")]),
            all
        );
    }

    #[test]
    fn what_is_set_in_any_way_stays() {
        for (name, value, untouched) in [
            ("DD_TRACE_PATCH", "false", "DD_TRACE_PATCH"),
            ("DD_TRACE_PATCH", "perhaps", "DD_TRACE_PATCH"),
            ("DD_SERVICE", "web", "DD_SERVICE"),
            ("DD_SERVICE", " ", "DD_SERVICE"),
            ("DD_TAGS", "service:web", "DD_SERVICE"),
            ("OTEL_SERVICE_NAME", "web", "DD_SERVICE"),
            ("DD_VERSION", "1.0", "DD_VERSION_USE_GIT"),
            ("DD_TAGS", "version:1.0", "DD_VERSION_USE_GIT"),
            ("DD_VERSION_USE_GIT", "no", "DD_VERSION_USE_GIT"),
        ] {
            let set = defaults_over(&[(name, value)]);
            assert_eq!(set.len(), 2, "{name}={value}: {set:?}");
            assert!(!set.iter().any(|set| set.starts_with(untouched)), "{set:?}");
        }
    }

    #[test]
    fn a_program_that_is_not_known_has_no_service() {
        let config = DDConfig::builder().environment([("", "")]).build().unwrap();
        let set = defaults("".as_ref(), &config);
        assert!(set.iter().all(|(name, _)| *name != "DD_SERVICE"), "{set:?}");
    }
}
