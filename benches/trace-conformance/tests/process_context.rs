//! The process context is read by `libdd-library-config`, as profilers on the host read it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_trace::Tracer;
use libdd_library_config::otel_process_ctx::ProcessContextSelfReader;
use libdd_trace_protobuf::opentelemetry::proto::common::v1::KeyValue;
use libdd_trace_protobuf::opentelemetry::proto::common::v1::any_value::Value;

const LIMIT: Duration = Duration::from_secs(20);

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let pair = |attribute: &KeyValue| {
        let value = attribute
            .value
            .as_ref()
            .and_then(|value| value.value.clone());
        let Some(Value::StringValue(text)) = value else {
            panic!("{} is {value:?}", attribute.key);
        };
        (attribute.key.clone(), text)
    };
    attributes.iter().map(pair).collect()
}

/// The service that is told now.
fn service(reader: &ProcessContextSelfReader) -> Option<String> {
    let resource = reader.read().ok()?.resource?;
    texts(&resource.attributes).remove("service.name")
}

/// A tracer that is dropped ends with its thread.
fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < LIMIT, "it does not come");
        thread::yield_now();
    }
}

#[test]
fn libdatadog_reads_whose_process_it_is() {
    let agent = LocalAgent::start().unwrap();
    let builder = DDConfig::builder().environment([("", "")]);
    let builder = builder.agent_url(agent.url()).service("shop").env("prod");
    let config = builder.version("7").hostname("a host").build().unwrap();
    assert!(ProcessContextSelfReader::new().is_err(), "nothing yet");
    let tracer = Tracer::start(&config).unwrap();

    let reader = ProcessContextSelfReader::new().unwrap();
    let context = reader.read().unwrap();
    let resource = context.resource.unwrap();
    let known = texts(&resource.attributes);
    for (key, value) in [
        ("service.name", "shop"),
        ("service.version", "7"),
        ("deployment.environment.name", "prod"),
        ("service.instance.id", config.runtime_id()),
        ("telemetry.sdk.language", "rust"),
        ("host.name", "a host"),
    ] {
        assert_eq!(known[key], value, "{key}");
    }
    let extra = texts(&context.extra_attributes);
    assert_eq!(
        extra["datadog.process_tags"],
        config.process_tags().unwrap()
    );

    // Another tracer of the same process takes its place.
    let builder = DDConfig::builder().environment([("", "")]);
    let other = builder.agent_url(agent.url()).service("bank").build();
    let other = Tracer::start(&other.unwrap()).unwrap();
    assert_eq!(service(&reader).as_deref(), Some("bank"));
    drop(other);
    wait_for(|| service(&reader).as_deref() == Some("shop"));
    drop(tracer);
    wait_for(|| ProcessContextSelfReader::new().is_err());
}
