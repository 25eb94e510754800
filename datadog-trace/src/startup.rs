//! The lines that say at the start how the tracer is set up, as the official clients log it
//! (dd-trace-go: `ddtrace/tracer/log.go`), and then what the agent takes, once it was asked.

use datadog_config::{DDConfig, ProfilingEnabled, TraceProtocol};
use datadog_transport::AgentInfo;
use serde_json::{Map, Value, json};

/// Logs the line, if that is asked for.
pub(crate) fn log(config: &DDConfig) {
    if config.startup_logs() {
        log::info!(target: "datadog", "DATADOG TRACER CONFIGURATION {}", facts(config));
    }
}

/// Logs what the agent takes: what it said of itself, and what is made of that. It said nothing if it did not answer.
pub(crate) fn log_agent(
    url: &str,
    info: Option<&AgentInfo>,
    protocol: TraceProtocol,
    computes_stats: bool,
) {
    let facts = match info {
        Some(info) => json!({
            "agent_url": url,
            "agent_version": info.version,
            "agent_endpoints": info.endpoints,
            "agent_feature_flags": info.feature_flags,
            "trace_protocol": protocol.as_str(),
            "stats_computed_here": computes_stats,
            "obfuscation_version": info.obfuscation_version,
            "span_events": info.span_events,
        }),
        None => json!({"agent_url": url, "agent_error": "no answer to /info"}),
    };
    log::info!(target: "datadog", "DATADOG TRACER AGENT {facts}");
}

fn facts(config: &DDConfig) -> Value {
    let styles = |styles: &[datadog_config::PropagationStyle]| {
        let names: Vec<&str> = styles.iter().map(|style| style.as_str()).collect();
        names.join(",")
    };
    let map = |pairs: &[(String, String)]| {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "lang": "rust",
        "os_name": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "service": config.service(),
        "env": config.env().unwrap_or_default(),
        "dd_version": config.version().unwrap_or_default(),
        "agent_url": config.trace_agent().to_string(),
        "sample_rate": config.tracing_sample_rate(),
        "sample_rate_limit": config.tracing_rate_limit(),
        "trace_sampling_rules": option(config, "DD_TRACE_SAMPLING_RULES"),
        "span_sampling_rules": option(config, "DD_SPAN_SAMPLING_RULES"),
        "service_mappings": map(config.service_mapping()),
        "tags": map(config.tags()),
        "partial_flush_enabled": config.partial_flush_enabled(),
        "partial_flush_min_spans": config.partial_flush_min_spans(),
        "propagation_style_inject": styles(config.propagation_style_inject()),
        "propagation_style_extract": styles(config.propagation_style_extract()),
        "stats_computation_enabled": config.stats_computation_enabled(),
        "logs_injection_enabled": config.logs_injection(),
        "profiling_enabled": config.profiling_enabled() != ProfilingEnabled::Off,
        "dogstatsd_address": config.dogstatsd().to_string(),
    })
}

/// An option as it was written, with JSON as JSON.
fn option(config: &DDConfig, name: &str) -> Value {
    let description = config.describe();
    let mut rows = description.rows().iter();
    let value = rows
        .find(|row| row.option == name)
        .map_or("", |row| &*row.value);
    serde_json::from_str(value).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use datadog_config::SamplingRule;

    use super::*;

    #[test]
    fn the_line_says_how_the_tracer_is_set_up() {
        let config = DDConfig::builder()
            .environment([("", "")])
            .agent_url("http://agent:1")
            .service("shop")
            .service_mapping([("a", "b")])
            .tracing_sampling_rules([SamplingRule::new(0.5).service("web")])
            .api_key("0123456789abcdef0123456789abcdef");
        let facts = facts(&config.build().unwrap());
        assert_eq!(
            (&facts["service"], &facts["service_mappings"]),
            (&json!("shop"), &json!({"a": "b"}))
        );
        assert_eq!(facts["agent_url"], "http://agent:1");
        assert_eq!(
            facts["propagation_style_inject"],
            "datadog,tracecontext,baggage"
        );
        assert_eq!(facts["trace_sampling_rules"][0]["service"], "web");
        assert_eq!(
            (&facts["span_sampling_rules"], &facts["env"]),
            (&Value::Null, &json!(""))
        );
        assert!(!facts.to_string().contains("0123456789abcdef"));
    }
}
