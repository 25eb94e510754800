//! Libraries whose spans have names of their own for what OpenTelemetry has names for.
//!
//! Each is read as the version that its rule names tells it. Where that says "by copies", tests have copies of these spans
//! (`libraries.rs`, `secrets.rs` and `web.rs` in `tests/subscriber`); the others are tested as they run.

use datadog_trace::SpanKind;

use crate::patch::ModuleId;

/// How the spans of a library are read.
#[derive(Debug)]
pub(super) struct Rule {
    /// What switches the rule.
    pub(super) module: ModuleId,
    /// The tag `component`.
    pub(super) component: &'static str,
    /// The names of the spans of operations; none, if all are. What else there is are steps of these.
    operations: &'static [&'static str],
    /// The role of operations, unless they say one.
    pub(super) kind: Option<SpanKind>,
    /// The database of operations, unless they say one.
    pub(super) db_system: Option<&'static str>,
    /// OpenTelemetry's names for some of the library's.
    names: &'static [(&'static str, &'static str)],
    /// Fields with the values that the program asks with, which are not for others.
    hidden: &'static [&'static str],
}

const NONE: Rule = Rule {
    module: ModuleId::Tower,
    component: "",
    operations: &[],
    kind: None,
    db_system: None,
    names: &[],
    hidden: &[],
};

/// tower-http 0.7: `src/trace/make_span.rs`.
static TOWER_HTTP: Rule = Rule {
    module: ModuleId::TowerHttp,
    component: "tower-http",
    kind: Some(SpanKind::Server),
    names: &[
        ("method", "http.request.method"),
        ("uri", "url.full"),
        ("version", "network.protocol.version"),
        ("status", "http.response.status_code"),
    ],
    ..NONE
};

/// poem 3.1: `src/middleware/tracing_mw.rs`.
static POEM: Rule = Rule {
    module: ModuleId::Poem,
    component: "poem",
    kind: Some(SpanKind::Server),
    names: &[
        ("method", "http.request.method"),
        ("uri", "url.full"),
        ("version", "network.protocol.version"),
        ("remote_addr", "client.address"),
        ("status", "http.response.status_code"),
    ],
    ..NONE
};

/// warp 0.4: `src/filters/trace.rs`.
static WARP: Rule = Rule {
    module: ModuleId::Warp,
    component: "warp",
    operations: &["request"],
    kind: Some(SpanKind::Server),
    names: &[
        ("method", "http.request.method"),
        ("path", "url.full"),
        ("version", "network.protocol.version"),
        ("remote.addr", "client.address"),
        ("referer", "http.referrer"),
        ("status", "http.response.status_code"),
    ],
    ..NONE
};

/// mysql_async 0.37: `src/conn/routines/*.rs`.
static MYSQL_ASYNC: Rule = Rule {
    module: ModuleId::MysqlAsync,
    component: "mysql_async",
    operations: &[
        "mysql_async::query",
        "mysql_async::prepare",
        "mysql_async::exec",
    ],
    kind: Some(SpanKind::Client),
    db_system: Some("mysql"),
    names: &[("mysql_async.query.sql", "db.query.text")],
    hidden: &["mysql_async.query.params"],
};

/// fred 10.1: `src/trace/enabled.rs`. Of an answer it tells the size only, not whether it is an error.
static FRED: Rule = Rule {
    module: ModuleId::Fred,
    component: "fred",
    operations: &["fred.command"],
    kind: Some(SpanKind::Client),
    db_system: Some("redis"),
    names: &[("cmd.name", "db.operation.name")],
    ..NONE
};

/// sea-orm 2.0: `src/database/tracing_spans.rs`, a macro for those beside it.
static SEA_ORM: Rule = Rule {
    module: ModuleId::SeaOrm,
    component: "sea-orm",
    ..NONE
};

/// clickhouse 0.15: `src/query.rs`, `src/insert_formatted.rs`, `src/response.rs`.
static CLICKHOUSE: Rule = Rule {
    module: ModuleId::Clickhouse,
    component: "clickhouse",
    operations: &["clickhouse.query", "clickhouse.insert"],
    kind: Some(SpanKind::Client),
    db_system: Some("clickhouse"),
    ..NONE
};

/// aws-sdk-sqs 1.119 and its like: `src/operation/*.rs`. Their spans have `rpc.system = "aws-api"`, but no role, and do not
/// tell that a call failed.
static AWS_SDK: Rule = Rule {
    module: ModuleId::AwsSdk,
    component: "aws-sdk",
    kind: Some(SpanKind::Client),
    ..NONE
};

/// aws-smithy-runtime 1.16: `src/client/orchestrator.rs`. All of it is within an operation.
static AWS_SMITHY: Rule = Rule {
    module: ModuleId::AwsSdk,
    component: "aws-sdk",
    ..NONE
};

/// tracing-actix-web 0.7: `src/root_span_builder.rs`. It says nearly all in OpenTelemetry's terms. It has an exception for each
/// error that became a response, also for one that the status says to be none.
static TRACING_ACTIX_WEB: Rule = Rule {
    module: ModuleId::TracingActixWeb,
    component: "actix-web",
    names: &[("exception.message", "otel.status_message")],
    ..NONE
};

/// axum-tracing-opentelemetry 0.42, by copies: `src/http/http_server.rs` of tracing-opentelemetry-instrumentation-sdk. It says
/// all in OpenTelemetry's terms.
static AXUM_TRACING: Rule = Rule {
    module: ModuleId::AxumTracingOpentelemetry,
    component: "axum",
    ..NONE
};

/// reqwest-tracing 0.7: `src/reqwest_otel_span_builder.rs`. It says all in OpenTelemetry's terms.
static REQWEST_TRACING: Rule = Rule {
    module: ModuleId::ReqwestTracing,
    component: "reqwest",
    ..NONE
};

/// scylla 1.9, by copies: `src/observability/driver_tracing.rs`.
static SCYLLA: Rule = Rule {
    module: ModuleId::Scylla,
    component: "scylla",
    operations: &["Request", "Request on control connection"],
    kind: Some(SpanKind::Client),
    db_system: Some("cassandra"),
    names: &[
        ("contents", "db.query.text"),
        ("result_rows", "db.response.returned_rows"),
        ("replicas", "scylla.replicas"),
        ("kind", "scylla.kind"),
    ],
    hidden: &["partition_key"],
};

/// async-graphql 7.2: `src/extensions/tracing.rs`. The `source` is the query with its variables filled in.
static ASYNC_GRAPHQL: Rule = Rule {
    module: ModuleId::AsyncGraphql,
    component: "async-graphql",
    operations: &["request", "subscribe"],
    names: &[
        ("path", "graphql.path"),
        ("return_type", "graphql.return_type"),
        ("parent_type", "graphql.parent_type"),
    ],
    hidden: &["source"],
    ..NONE
};

/// sqlx 0.9: `sqlx-core/src/logger.rs`.
static SQLX: Rule = Rule {
    module: ModuleId::Sqlx,
    component: "sqlx",
    names: &[("summary", "db.query.summary")],
    ..NONE
};

/// mongodb 3.9, by copies: `src/trace/command.rs`. What it asks and is answered has values.
static MONGODB: Rule = Rule {
    module: ModuleId::Mongodb,
    component: "mongodb",
    hidden: &["command", "reply"],
    ..NONE
};

impl Rule {
    /// The rule for spans and events of this target.
    pub(super) fn of(target: &str) -> Option<&'static Self> {
        let library = library(target);
        let part = &target[library.len()..];
        match library {
            "tower_http" if part.starts_with("::trace") => Some(&TOWER_HTTP),
            "poem" if part.starts_with("::middleware") => Some(&POEM),
            "warp" if part.starts_with("::filters::trace") => Some(&WARP),
            "sqlx" if part == "::query" => Some(&SQLX),
            "mongodb" if part == "::command" => Some(&MONGODB),
            "mysql_async" => Some(&MYSQL_ASYNC),
            "fred" => Some(&FRED),
            "sea_orm" => Some(&SEA_ORM),
            "clickhouse" => Some(&CLICKHOUSE),
            "tracing_actix_web" => Some(&TRACING_ACTIX_WEB),
            "reqwest_tracing" => Some(&REQWEST_TRACING),
            "scylla" => Some(&SCYLLA),
            "async_graphql" => Some(&ASYNC_GRAPHQL),
            _ if library.starts_with("aws_sdk_") => Some(&AWS_SDK),
            _ if library.starts_with("aws_smithy_") => Some(&AWS_SMITHY),
            _ => None,
        }
    }

    /// The rule for spans of this target and name: calls of gRPC that are made have the same target as requests.
    pub(super) fn of_span(target: &str, name: &str) -> Option<&'static Self> {
        match (target, name) {
            ("otel::tracing", "HTTP request") => Some(&AXUM_TRACING),
            _ => Self::of(target),
        }
    }

    /// Whether a span of this name is one of the library's operations.
    pub(super) fn is_operation(&self, name: &str) -> bool {
        self.operations.is_empty() || self.operations.contains(&name)
    }

    /// The name that a field goes by. `None` if it is hidden.
    pub(super) fn key(&self, name: &'static str) -> Option<&'static str> {
        if self.hidden.contains(&name) {
            return None;
        }
        let known = self.names.iter().find(|(own, _)| *own == name);
        Some(known.map_or(name, |(_, key)| *key))
    }
}

/// The crate that a target stands for. Searching for a text would take longer than all the rest.
fn library(target: &str) -> &str {
    let end = target.bytes().position(|byte| byte == b':');
    &target[..end.unwrap_or(target.len())]
}

/// Whether such spans are about the inner life of a protocol, a runtime or a library, of which there are far too many.
pub(super) fn is_inner_life(target: &str, name: &str) -> bool {
    match library(target) {
        // Without names that a crate of a program's may have, such as `runtime`.
        "h2" | "h3" | "hyper" | "hyper_util" | "quinn" | "rustls" | "tokio" => true,
        "tower" => target.starts_with("tower::buffer"),
        // Its functions have spans of level trace besides, with all their arguments: the URL of the database is one.
        "sea_orm" => !name.starts_with("sea_orm."),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_belong_to_libraries_and_not_to_what_is_named_alike() {
        let component = |target| Rule::of(target).map(|rule| rule.component);
        assert_eq!(
            component("tower_http::trace::make_span"),
            Some("tower-http")
        );
        assert_eq!(component("aws_sdk_sqs::operation"), Some("aws-sdk"));
        assert_eq!(component("sea_orm::database"), Some("sea-orm"));
        for target in ["tower_http::cors", "fredo", "shop::fred", "", "aws"] {
            assert_eq!(component(target), None, "{target}");
        }
        for (target, name, is_inner) in [
            ("h2::codec", "", true),
            ("tower::buffer::worker", "", true),
            ("tower::limit", "", false),
            ("tokio::task", "runtime.spawn", true),
            ("runtime::jobs", "", false),
            ("want", "", false),
            ("mio::poll", "", false),
            ("tokio_postgres", "", false),
            ("sea_orm::database", "connect", true),
            ("sea_orm::database", "sea_orm.execute", false),
        ] {
            assert_eq!(is_inner_life(target, name), is_inner, "{target} {name}");
        }
    }
}
