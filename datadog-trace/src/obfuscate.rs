//! Takes out of resources what they must not tell, such as the values in a query, by the rules of the agent: what is
//! counted under a resource has to be the same whoever counts (datadog-agent: `pkg/obfuscate`).

mod redis;
mod sql;

/// The version of the agent's rules (datadog-agent: `pkg/obfuscate/obfuscate.go`).
pub(crate) const VERSION: u64 = 1;

/// The resource of a span of this type as statistics have it; `None` if that is the same. The spans themselves are left
/// to the agent, which hides more (dd-trace-go: `ddtrace/tracer/tracer.go`, obfuscatedResource).
pub(crate) fn resource(span_type: &str, resource: &str) -> Option<String> {
    match span_type {
        "sql" | "cassandra" => Some(sql::obfuscate(resource)),
        "redis" | "valkey" => Some(redis::quantize(resource)),
        _ => None,
    }
}
