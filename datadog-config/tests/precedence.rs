//! Which layer wins: of every combination of layers the highest.

use std::fs;
use std::path::Path;

use config::{Config, ConfigError, Map, Source, Value};
use datadog_config::{DDConfig, DDConfigBuilder, Origin};

/// High to low.
const LAYERS: [Origin; 6] = [
    Origin::Code,
    Origin::FleetFile,
    Origin::Env,
    Origin::OtelEnv,
    Origin::Source,
    Origin::LocalFile,
];

/// A builder whose service has the name of each of `layers`.
fn builder(layers: &[Origin], files: &Path) -> DDConfigBuilder {
    let variable = |origin, name: &'static str, value: &'static str| {
        layers.contains(&origin).then_some((name, value))
    };
    let variables = [
        variable(Origin::Env, "DD_SERVICE", "env"),
        variable(Origin::OtelEnv, "OTEL_SERVICE_NAME", "otel env"),
    ];
    let mut builder = DDConfig::builder()
        .environment(variables.into_iter().flatten())
        .fleet_file(files.join("fleet.yaml"))
        .local_file(files.join("local.yaml"));
    if layers.contains(&Origin::Code) {
        builder = builder.service("code");
    }
    if layers.contains(&Origin::Source) {
        builder = builder.source(source("source"));
    }
    builder
}

/// A program's own source, in which the service has the name `value`.
fn source(value: &str) -> Config {
    let source = Config::builder()
        .set_override("DD_SERVICE", value)
        .and_then(|source| source.build());
    source.expect("one value can be collected")
}

fn write(path: &Path, value: Option<&str>) {
    let text = value.map(|value| format!("apm_configuration_default:\n  DD_SERVICE: {value}\n"));
    fs::write(path, text.unwrap_or_default()).expect("the test can write its file");
}

#[test]
fn the_highest_layer_wins() {
    let files = tempfile::tempdir().unwrap();
    for combination in 0..1 << LAYERS.len() {
        let layers: Vec<_> = LAYERS
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| combination & (1 << bit) != 0)
            .map(|(_, layer)| layer)
            .collect();
        let value = |origin, value| layers.contains(&origin).then_some(value);
        write(
            &files.path().join("fleet.yaml"),
            value(Origin::FleetFile, "fleet file"),
        );
        write(
            &files.path().join("local.yaml"),
            value(Origin::LocalFile, "local file"),
        );
        let config = builder(&layers, files.path()).build().unwrap();
        let description = config.describe();
        let row = description
            .rows()
            .iter()
            .find(|row| row.option == "DD_SERVICE")
            .unwrap();
        match layers.first() {
            Some(highest) => {
                assert_eq!(config.service(), highest.to_string(), "{layers:?}");
                assert_eq!(row.origin, *highest, "{layers:?}");
            }
            None => assert_eq!(row.origin, Origin::Default),
        }
    }
}

#[test]
fn origins_are_ordered_as_the_layers_are() {
    assert!(LAYERS.is_sorted_by(|higher, lower| higher > lower));
    assert!(Origin::Remote > Origin::Code && Origin::LocalFile > Origin::Default);
}

#[test]
fn the_place_is_the_exact_variable_setter_or_file() {
    let files = tempfile::tempdir().unwrap();
    let fleet = files.path().join("fleet.yaml");
    write(&fleet, Some("fleet"));
    let place = |builder: DDConfigBuilder, option: &str| {
        let description = builder.build().unwrap().describe();
        description
            .rows()
            .iter()
            .find(|row| row.option == option)
            .unwrap()
            .place
            .clone()
    };
    let hermetic = |name: &str, value: &str| DDConfig::builder().environment([(name, value)]);
    assert_eq!(
        place(hermetic("DD_AGENT_PORT", "1"), "DD_TRACE_AGENT_PORT"),
        "DD_AGENT_PORT"
    );
    assert_eq!(
        place(
            hermetic("OTEL_RESOURCE_ATTRIBUTES", "service.name=x"),
            "service"
        ),
        "OTEL_RESOURCE_ATTRIBUTES"
    );
    assert_eq!(
        place(hermetic("", "").tracing_port(1), "DD_TRACE_AGENT_PORT"),
        "tracing_port"
    );
    assert_eq!(
        place(hermetic("", "").fleet_file(&fleet), "DD_SERVICE"),
        fleet.display().to_string()
    );
}

#[test]
fn the_documented_name_beats_its_aliases() {
    let variables = [("DD_AGENT_PORT", "1"), ("DD_TRACE_AGENT_PORT", "2")];
    let config = DDConfig::builder().environment(variables).build().unwrap();
    assert_eq!(config.trace_agent().to_string(), "http://localhost:2");
    // One that can't be used is as good as none.
    let variables = [("DD_AGENT_PORT", "1"), ("DD_TRACE_AGENT_PORT", "x")];
    let config = DDConfig::builder().environment(variables).build().unwrap();
    assert_eq!(config.trace_agent().to_string(), "http://localhost:1");
    assert_eq!(
        config.problems()[0].to_string(),
        "DD_TRACE_AGENT_PORT=x (env): expected a port from 1 to 65535; using 1 from env"
    );
}

#[test]
fn the_last_source_is_the_highest() {
    let builder = DDConfig::builder().environment([("", "")]);
    let config = builder
        .source(source("first"))
        .source(source("last"))
        .build()
        .unwrap();
    assert_eq!(config.service(), "last");
}

/// A source that never can be collected.
#[derive(Clone, Debug)]
struct Broken;

impl Source for Broken {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Err(ConfigError::Message("out of order".to_owned()))
    }
}

#[test]
fn a_source_that_fails_is_an_error() {
    let error = DDConfig::builder()
        .environment([("", "")])
        .source(Broken)
        .tracing_port(0)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Datadog configuration has 2 unusable values:\n  \
         source (code): can't be collected: out of order\n  \
         tracing_port = \"0\" (code): expected a port from 1 to 65535"
    );
}

#[test]
fn a_bad_value_of_a_source_is_a_problem() {
    let source = Config::builder()
        .set_override("DD_TRACE_RATE_LIMIT", -1)
        .unwrap()
        .build()
        .unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .source(source)
        .build()
        .unwrap();
    assert_eq!(
        config.problems()[0].to_string(),
        "DD_TRACE_RATE_LIMIT=-1 (source): expected a number that is 0 or more; using the default 100"
    );
}
