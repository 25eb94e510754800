//! Names of conventions, and what they stand for.

/// The fields that say which database was asked.
pub(super) const DB_SYSTEM: &[&str] = &["db.system.name", "db.system"];

/// Datadog's names for OpenTelemetry's (`HTTPMappings`).
pub(super) fn tag_name(key: &'static str) -> &'static str {
    match key {
        "http.request.method" => "http.method",
        "http.request.body.size" => "http.request.content_length",
        "http.response.body.size" => "http.response.content_length",
        "http.request.header.referrer" => "http.referrer",
        "network.protocol.version" => "http.version",
        "server.address" => "http.server_name",
        "url.full" => "http.url",
        "user_agent.original" => "http.useragent",
        "client.address" => "http.client_ip",
        "cloud.region" => "region",
        "db.namespace" => "db.name",
        "db.operation.name" => "db.operation",
        "db.query.text" => "db.statement",
        "db.response.returned_rows" => "db.row_count",
        key => key,
    }
}

/// The type of spans that ask a database.
pub(super) fn db_type(system: &str) -> &'static str {
    match system.to_ascii_lowercase().as_str() {
        "redis" => "redis",
        "memcached" => "memcached",
        "mongodb" => "mongodb",
        "elasticsearch" => "elasticsearch",
        "opensearch" => "opensearch",
        "cassandra" => "cassandra",
        "mysql"
        | "mariadb"
        | "postgresql"
        | "postgres"
        | "sqlite"
        | "mssql"
        | "microsoft.sql_server"
        | "oracle"
        | "oracle.db"
        | "db2"
        | "cockroachdb"
        | "clickhouse"
        | "redshift"
        | "snowflake"
        | "teradata"
        | "hive"
        | "other_sql" => "sql",
        _ => "db",
    }
}
