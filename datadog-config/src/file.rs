//! The configuration files that Datadog's Agent and its fleet automation leave on a host.
//!
//! `application_monitoring.yaml` has the map `apm_configuration_default` from the names of variables to values
//! (`libdatadog: libdd-library-config/src/lib.rs`). Targeting rules are not supported.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

use crate::error::Problem;
use crate::layer::Values;
use crate::option::is_name;
use crate::origin::Origin;

/// Where the two files are.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) system: &'static str,
    /// The file that fleet automation manages.
    pub(crate) fleet: &'static str,
    /// The file of the host itself.
    pub(crate) local: &'static str,
}

pub(crate) const LINUX: Places = Places {
    system: "Linux",
    fleet: "/etc/datadog-agent/managed/datadog-agent/stable/application_monitoring.yaml",
    local: "/etc/datadog-agent/application_monitoring.yaml",
};

pub(crate) const MACOS: Places = Places {
    system: "macOS",
    fleet: "/opt/datadog-agent/etc/stable/application_monitoring.yaml",
    local: "/opt/datadog-agent/etc/application_monitoring.yaml",
};

pub(crate) const WINDOWS: Places = Places {
    system: "Windows",
    fleet: r"C:\ProgramData\Datadog\managed\datadog-agent\stable\application_monitoring.yaml",
    local: r"C:\ProgramData\Datadog\application_monitoring.yaml",
};

/// Those of this system.
pub(crate) const HERE: Places = if cfg!(target_os = "macos") {
    MACOS
} else if cfg!(windows) {
    WINDOWS
} else {
    LINUX
};

/// Far above any real file, and small enough to be read at every start.
const LARGEST: u64 = 1 << 20;

/// The values of the file at `path`. No file is an empty one.
pub(crate) fn read(path: &Path, origin: Origin) -> (Values, Vec<Problem>) {
    match path.try_exists() {
        Ok(false) => (Values::default(), Vec::new()),
        _ => read_existing(path, origin),
    }
}

/// The values of the file at `path`. One that can't be used is a problem, and an empty one.
pub(crate) fn read_existing(path: &Path, origin: Origin) -> (Values, Vec<Problem>) {
    let place = path.display().to_string();
    let problem = |message: &str| Problem::of_layer(&place, origin, message);
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            return (
                Values::default(),
                vec![problem(&format!("can't be read: {error}; not used"))],
            );
        }
    };
    match parse(&text, &place) {
        Ok((values, remarks)) => (
            values,
            remarks.iter().map(|remark| problem(remark)).collect(),
        ),
        Err(message) => (
            Values::default(),
            vec![problem(&format!("{message}; not used"))],
        ),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is larger than 1 MiB",
        ));
    }
    Ok(text)
}

/// Takes the file event by event. Unlike a tree of values that keeps numbers as they are written (`1.10` is a version), and needs
/// neither recursion nor a copy of each alias, which a hostile file could turn against us.
fn parse(text: &str, place: &str) -> Result<(Values, Vec<String>), String> {
    let mut parser = Parser::new_from_str(text);
    let mut walk = Walk::default();
    loop {
        let (event, _) = parser
            .next_token()
            .map_err(|error| format!("is no YAML: {error}"))?;
        if event == Event::StreamEnd {
            return Ok((walk.values, walk.remarks));
        }
        walk.step(event, place);
    }
}

/// The map with the values.
const VALUES: &str = "apm_configuration_default";
/// The two names that the rules have.
const RULES: [&str; 2] = ["apm_configuration_rules", "rules"];

/// Where in the file we are, and what was found so far.
#[derive(Default)]
struct Walk {
    /// The maps and lists around the next event, the outermost first.
    around: Vec<Around>,
    values: Values,
    remarks: Vec<String>,
}

enum Around {
    /// A map, and the key whose value comes next; without one, a key comes next.
    Map(Option<String>),
    List,
}

impl Walk {
    fn step(&mut self, event: Event, place: &str) {
        match event {
            Event::MappingStart(..) => self.around.push(Around::Map(None)),
            Event::SequenceStart(..) => self.around.push(Around::List),
            Event::MappingEnd | Event::SequenceEnd => {
                self.around.pop();
                self.composite();
            }
            Event::Alias(_) => self.composite(),
            Event::Scalar(text, style, ..) => self.scalar(text, style, place),
            _ => {}
        }
    }

    fn scalar(&mut self, text: String, style: TScalarStyle, place: &str) {
        let in_values = self.in_values();
        let is_outermost = self.around.len() == 1;
        let Some(Around::Map(key)) = self.around.last_mut() else {
            return;
        };
        match key.take() {
            Some(key) if in_values && is_name(&key) && !is_null(&text, style) => {
                self.values.insert(&key, text, place)
            }
            Some(_) => {}
            None => {
                if is_outermost && RULES.contains(&text.as_str()) {
                    self.remarks
                        .push(format!("{text} is not supported; left out"));
                }
                *key = Some(text);
            }
        }
    }

    /// A list, a map or an alias is over. It is no key and no value of an option.
    fn composite(&mut self) {
        let in_values = self.in_values();
        let Some(Around::Map(key)) = self.around.last_mut() else {
            return;
        };
        match key.take() {
            Some(key) if in_values && is_name(&key) => self.remarks.push(format!(
                "{key}: expected a text, a number or a bool; left out"
            )),
            Some(_) => {}
            None => *key = Some(String::new()),
        }
    }

    /// Whether the innermost map is the one with the values.
    fn in_values(&self) -> bool {
        matches!(&self.around[..], [Around::Map(Some(section)), Around::Map(_)] if section == VALUES)
    }
}

/// What YAML takes for no value.
fn is_null(text: &str, style: TScalarStyle) -> bool {
    style == TScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use config::Source;
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let (values, _) = parse(text, "file").unwrap();
        let mut values: Vec<_> = values
            .collect()
            .unwrap()
            .into_iter()
            .map(|(name, value)| (name, value.into_string().unwrap()))
            .collect();
        values.sort();
        values
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn values_are_taken_as_they_are_written() {
        let text = "
config_id: '123'
apm_configuration_default:
  DD_SERVICE: 007
  DD_VERSION: 1.10
  DD_TRACE_ENABLED: False
  DD_TAGS: 'a:b,c:d'
  DD_ENV: ~
  DD_TRACE_RATE_LIMIT: 1e3
";
        let expected = [
            pair("DD_SERVICE", "007"),
            pair("DD_TAGS", "a:b,c:d"),
            pair("DD_TRACE_ENABLED", "False"),
            pair("DD_TRACE_RATE_LIMIT", "1e3"),
            pair("DD_VERSION", "1.10"),
        ];
        assert_eq!(values(text), expected);
        assert_eq!(
            values(r#"{"apm_configuration_default": {"DD_ENV": "~"}}"#),
            [pair("DD_ENV", "~")]
        );
    }

    #[test]
    fn everything_else_is_passed_over() {
        let text = "
DD_SERVICE: outside
other: {apm_configuration_default: {DD_SERVICE: deeper}, DD_SERVICE: beside}
? [a, b]
: {DD_SERVICE: under a list}
apm_configuration_default:
  ? {a: b}
  : DD_SERVICE
  DD_ENV: prod
  DD_UNKNOWN: 1
  DD_SERVICE[999999999]: web
list: [apm_configuration_default, DD_SERVICE, x]
";
        assert_eq!(values(text), [pair("DD_ENV", "prod")]);
        for text in [
            "",
            "# nothing",
            "text",
            "[a, b]",
            "apm_configuration_default: text",
            "apm_configuration_default:\n- DD_ENV: a",
        ] {
            assert_eq!(values(text), [], "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_told() {
        let text = "
apm_configuration_rules: [{selectors: []}]
apm_configuration_default:
  DD_TAGS: {a: b}
  DD_SERVICE: &name web
  DD_ENV: *name
  DD_VERSION: [1]
";
        let (_, remarks) = parse(text, "file").unwrap();
        assert_eq!(
            remarks,
            [
                "apm_configuration_rules is not supported; left out",
                "DD_TAGS: expected a text, a number or a bool; left out",
                "DD_ENV: expected a text, a number or a bool; left out",
                "DD_VERSION: expected a text, a number or a bool; left out",
            ]
        );
        assert_eq!(values(text), [pair("DD_SERVICE", "web")]);
    }

    #[test]
    fn a_broken_file_is_a_problem_and_empty() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("application_monitoring.yaml");
        let check = |bytes: &[u8], part: &str| {
            std::fs::write(&path, bytes).unwrap();
            let (values, problems) = read(&path, Origin::FleetFile);
            assert!(values.collect().unwrap().is_empty());
            let line = problems[0].to_string();
            assert!(
                line.starts_with(&format!("{} (fleet file): ", path.display()))
                    && line.contains(part),
                "{line}"
            );
        };
        check(b"a: [", "is no YAML");
        check(b"a: \xff", "UTF-8");
        check(&vec![b'#'; 2 << 20], "larger than 1 MiB");
        // As the published test of invalid files has it.
        std::fs::write(&path, "?? ??; ??\t\n\n --- `??").unwrap();
        assert!(
            read(&path, Origin::FleetFile)
                .0
                .collect()
                .unwrap()
                .is_empty()
        );
        let (_, problems) = read(directory.path(), Origin::FleetFile);
        assert!(
            problems[0].to_string().contains("can't be read"),
            "{problems:?}"
        );
    }

    #[test]
    fn no_file_is_no_problem() {
        let directory = tempfile::tempdir().unwrap();
        assert!(
            read(&directory.path().join("none"), Origin::LocalFile)
                .1
                .is_empty()
        );
    }

    #[test]
    fn nesting_and_aliases_cost_neither_stack_nor_memory() {
        assert_eq!(values(&"[".repeat(200)[..].replace('[', "- ")), []);
        let _ = parse(&"[".repeat(100_000), "file");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let before = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        assert_eq!(values(&bomb), []);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), yaml in "[a-c:\\[\\]{},&*?|>!%@'\"\\- \\n\\t#~]{0,60}") {
            let _ = parse(&text, "file");
            let _ = parse(&yaml, "file");
        }
    }
}
