//! Takes out of resources what they must not tell, such as the values in a query, by the rules of the agent: what is
//! counted under a resource has to be the same whoever counts (datadog-agent: `pkg/obfuscate`).

mod redis;
mod sql;

/// The version of the agent's rules (datadog-agent: `pkg/obfuscate/obfuscate.go`).
pub(crate) const VERSION: u64 = 1;

/// A statement in SQL or CQL with `?` for each value and each list of values, without comments and aliases, as the agent
/// shows it (datadog-agent: `pkg/obfuscate/sql.go`). One that can't be read becomes `Non-parsable SQL query`.
pub fn obfuscate_sql(statement: &str) -> String {
    sql::obfuscate(statement)
}

/// The names of Redis commands, one of which is in each line with its arguments, without these: of `get user:7`, `GET`
/// (datadog-agent: `pkg/obfuscate/redis.go`). More than three are cut.
pub fn quantize_redis(commands: &str) -> String {
    redis::quantize(commands)
}

/// The resource of a span of this type as statistics have it; `None` if that is the same. The spans themselves are left
/// to the agent, which hides more (dd-trace-go: `ddtrace/tracer/tracer.go`, obfuscatedResource).
pub(crate) fn resource(span_type: &str, resource: &str) -> Option<String> {
    match span_type {
        "sql" | "cassandra" => Some(sql::obfuscate(resource)),
        "redis" | "valkey" => Some(redis::quantize(resource)),
        _ => None,
    }
}
