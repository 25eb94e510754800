//! The reference page of all options, written from the table.

use std::fmt::Write;

use crate::file::{LINUX, MACOS, Places, WINDOWS};
use crate::option::{OPTIONS, OptionInfo, Signal};

/// The text of `docs/configuration.md`.
pub fn options_page() -> String {
    let mut page = introduction();
    for (signal, title) in SECTIONS {
        let _ = write!(page, "\n## {title}\n\n{HEAD}");
        for option in OPTIONS.iter().filter(|option| option.signal == *signal) {
            page.push_str(&row(option));
        }
    }
    page
}

const SECTIONS: &[(Signal, &str)] = &[
    (Signal::General, "General"),
    (Signal::Metrics, "Metrics"),
    (Signal::Logs, "Logs"),
    (Signal::Traces, "Traces"),
    (Signal::Profiles, "Profiles"),
    (Signal::Security, "Security"),
];

const HEAD: &str =
    "| option | in code | value | default | what it does |\n| --- | --- | --- | --- | --- |\n";

fn introduction() -> String {
    let mut page = INTRODUCTION.to_owned();
    for Places {
        system,
        fleet,
        local,
    } in [LINUX, MACOS, WINDOWS]
    {
        let _ = writeln!(page, "| {system} | `{fleet}` | `{local}` |");
    }
    page.push_str(DISCOVERY);
    page
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Written by `cargo xtask options` from datadog-config/src/option.rs. Change it there. -->

Every option is an environment variable and a setter of `DDConfig::builder()`. The value that counts is that of the highest of
these layers, from high to low:

1. code: the builder
2. fleet file: the file that Datadog's fleet automation manages
3. env: the variable, or one of its other names
4. otel env: a variable of OpenTelemetry that means the same
5. source: what the program adds with `DDConfigBuilder::source`
6. local file: the host's own file
7. the default

A value that can't be used is an error if it comes from code; `build()` reports all of them at once. From anywhere else it is a
problem: the next layer counts, one line is logged, and `DDConfig::problems()` lists it. `DDConfig::describe()` shows every option
with its value and the exact place it came from.

Both files are YAML: a map `apm_configuration_default` from the names of the variables to values. `DD_CONFIG_FILE` names another
local file.

| | fleet file | local file |
| --- | --- | --- |
";

const DISCOVERY: &str = "
## How the Agent is found

| | traces and profiles | DogStatsD |
| --- | --- | --- |
| first | `DD_TRACE_AGENT_URL` | `DD_DOGSTATSD_URL` |
| then | `DD_AGENT_HOST` or `DD_TRACE_AGENT_PORT`, if one is set | `DD_DOGSTATSD_HOST`, `DD_AGENT_HOST` or `DD_DOGSTATSD_PORT`, if one is set |
| then | `/var/run/datadog/apm.socket`, if it exists | `/var/run/datadog/dsd.socket`, if it exists |
| else | `http://localhost:8126` | `udp://localhost:8125` |
";

fn row(option: &OptionInfo) -> String {
    let OptionInfo {
        field,
        name,
        aliases,
        otel,
        expects,
        default,
        sensitive,
        help,
        ..
    } = option;
    let mut names = format!("`{name}`");
    for alias in *aliases {
        let _ = write!(names, "<br>also `{alias}`");
    }
    for variable in *otel {
        let _ = write!(names, "<br>also `{variable}`");
    }
    let default = default.map_or_else(String::new, |default| format!("`{default}`"));
    let secret = if *sensitive { " Never shown." } else { "" };
    format!("| {names} | `{field}` | {expects} | {default} |{help}{secret} |\n")
}
