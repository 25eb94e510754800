//! Spans and events of libraries, as they were read in their sources.

use datadog_local_agent::Span;
use tracing::field::Empty;
use tracing::{Level, debug_span, event, info_span, trace_span};

use crate::support::{Fixture, named, parent};

#[test]
fn sqlx_s_statements_become_spans_that_lasted() {
    let fixture = Fixture::new();
    let statement = || {
        event!(
            target: "sqlx::query",
            Level::DEBUG,
            summary = "SELECT name FROM",
            db.statement = "\n\nSELECT\n  name\nFROM\n  items\n",
            rows_affected = 0_u64,
            rows_returned = 2_u64,
            elapsed = "1.5s",
            elapsed_secs = 1.5,
        );
    };
    let spans = fixture.spans_of(|| {
        let _request = info_span!("request").entered();
        statement();
        let _orm = info_span!(
            target: "sea_orm::database",
            "sea_orm.query",
            otel.kind = "client",
            db.system = "sqlite",
            db.statement = "SELECT 1",
        )
        .entered();
        statement();
    });
    assert_eq!(spans.len(), 3, "the one below the ORM is the ORM's");
    let query = named(&spans, "sql.query");
    assert_eq!(parent(&spans, "sql.query"), Some("request"));
    assert_eq!(query.resource, "SELECT name FROM items");
    assert_eq!((&*query.type_, query.duration_ns), ("sql", 1_500_000_000));
    assert_eq!(query.metrics["db.row_count"], 2.0);
    assert_eq!(query.meta["component"], "sqlx");
    let orm = named(&spans, "sqlite.query");
    assert_eq!(
        (&*orm.resource, &*orm.meta["component"]),
        ("SELECT ?", "sea-orm")
    );
}

#[test]
fn only_a_span_of_sea_orm_that_is_sent_tells_a_statement() {
    let fixture = Fixture::new();
    let statement = |summary: &str| {
        event!(target: "sqlx::query", Level::DEBUG, summary, elapsed_secs = 0.25);
    };
    let spans = fixture.spans_of(|| {
        let _request = info_span!("request").entered();
        {
            // Without its feature `tracing-spans`, sea-orm 2.0 has these alone: `src/driver/sqlx_sqlite.rs`.
            let driver = trace_span!(target: "sea_orm::driver::sqlx_sqlite", "query_one");
            let _driver = driver.entered();
            statement("without");
        }
        {
            let orm = info_span!(
                target: "sea_orm::database::db_connection",
                "sea_orm.query_one",
                otel.kind = "client",
                db.system = "sqlite",
            );
            let _orm = orm.entered();
            let driver = trace_span!(target: "sea_orm::driver::sqlx_sqlite", "query_one");
            let _driver = driver.entered();
            statement("with");
        }
        let _own = info_span!(target: "sea_orm_service::stock", "of the program").entered();
        statement("named alike");
    });
    let mut statements: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "sql.query")
        .map(|span| &*span.resource)
        .collect();
    statements.sort_unstable();
    assert_eq!(statements, ["named alike", "without"]);
    assert_eq!(spans.len(), 5, "{spans:#?}");
}

#[test]
fn statements_of_sqlx_are_for_the_database_that_the_program_says() {
    let fixture = Fixture::new();
    let url = "postgres://me:hunter2@db.local:6432/shop?sslmode=require";
    let subscriber = fixture.subscriber_with(|layer| layer.sqlx_database(url));
    tracing::dispatcher::with_default(&subscriber, || {
        event!(target: "sqlx::query", Level::DEBUG, summary = "SELECT 1", elapsed_secs = 0.25);
    });
    let [span] = fixture.spans().try_into().unwrap();
    assert_eq!((&*span.name, &*span.type_), ("postgresql.query", "sql"));
    let tags = ["db.system", "out.host", "db.name"].map(|key| &*span.meta[key]);
    assert_eq!(tags, ["postgresql", "db.local", "shop"]);
    assert_eq!(span.metrics["network.destination.port"], 6_432.0);
    assert!(!format!("{span:?}").contains("hunter2"));
}

#[test]
fn other_databases_say_who_they_are() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        // mysql_async 0.37: `src/conn/routines/query.rs`; fred 10.1: `src/trace/enabled.rs`.
        drop(info_span!(
            target: "mysql_async::conn::routines::query",
            "mysql_async::query",
            mysql_async.query.sql = "SELECT 2",
        ));
        drop(info_span!(target: "fred::trace::enabled", "fred.command", cmd.name = "GET"));
    });
    let mysql = named(&spans, "mysql.query");
    assert_eq!((&*mysql.resource, &*mysql.type_), ("SELECT ?", "sql"));
    let redis = named(&spans, "redis.query");
    assert_eq!((&*redis.resource, &*redis.type_), ("GET", "redis"));
    assert_eq!(redis.meta["component"], "fred");
}

#[test]
fn steps_of_an_operation_are_no_operations() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        // aws-sdk-sqs 1.119: `src/operation/send_message.rs`; aws-smithy-runtime 1.16: `src/client/orchestrator.rs`.
        let operation = debug_span!(
            target: "aws_sdk_sqs::operation::send_message",
            "SQS.SendMessage",
            rpc.service = "SQS",
            rpc.method = "SendMessage",
            sdk_invocation_id = 1_234_567_u32,
            rpc.system = "aws-api",
        );
        operation.in_scope(|| {
            let attempt = debug_span!(
                target: "aws_smithy_runtime::client::orchestrator",
                "try_attempt",
                attempt = 1,
            );
            let _attempt = attempt.entered();
            drop(debug_span!(
                target: "aws_smithy_runtime::client::identity::cache::lazy",
                "lazy_load_identity"
            ));
        });
        // fred 10.1: `src/trace/enabled.rs`.
        let command = info_span!(target: "fred::trace::enabled", "fred.command", cmd.name = "GET");
        drop(info_span!(
            target: "fred::trace::enabled",
            parent: &command,
            "fred.rtt",
            cmd.flush = true
        ));
        // scylla 1.9: `src/observability/driver_tracing.rs`, `src/client/execution.rs`.
        let request = trace_span!(
            target: "scylla::observability::driver_tracing",
            "Request",
            kind = "batch"
        );
        request.in_scope(|| {
            drop(trace_span!(
                target: "scylla::client::execution",
                "Executing request on chosen target"
            ));
        });
        // mysql_async 0.37: `src/conn/routines/ping.rs`.
        drop(debug_span!(
            target: "mysql_async::conn::routines::ping",
            "mysql_async::ping",
            mysql_async.connection.id = 1
        ));
    });
    let mut steps: Vec<_> = spans
        .iter()
        .filter(|span| !span.meta.contains_key("span.kind"))
        .map(|span| (&*span.name, &*span.meta["component"]))
        .collect();
    let expected = [
        ("Executing request on chosen target", "scylla"),
        ("fred.rtt", "fred"),
        ("lazy_load_identity", "aws-sdk"),
        ("mysql_async::ping", "mysql_async"),
        ("try_attempt", "aws-sdk"),
    ];
    steps.sort_unstable();
    assert_eq!(steps, expected);
    let is_step = |span: &&Span| steps.iter().any(|(name, _)| span.name == *name);
    for step in spans.iter().filter(is_step) {
        assert!(!step.meta.contains_key("db.system"), "{step:?}");
        assert!(
            !["sql", "http", "redis"].contains(&&*step.type_),
            "{step:?}"
        );
    }
    let operations = spans.iter().filter(|span| !is_step(span));
    let mut operations: Vec<_> = operations.map(|span| &*span.name).collect();
    operations.sort_unstable();
    assert_eq!(
        operations,
        ["aws.sqs.request", "cassandra.query", "redis.query"]
    );
    assert_eq!(parent(&spans, "fred.rtt"), Some("redis.query"));
}

#[test]
fn failures_that_only_a_step_of_clickhouse_tells_are_its_operation_s() {
    let fixture = Fixture::new();
    let query = || {
        // clickhouse 0.15: `src/query.rs`, and `src/response.rs` within.
        let query = info_span!(target: "clickhouse::query", "clickhouse.query");
        let response = info_span!(
            target: "clickhouse::response",
            parent: &query,
            "response",
            otel.status_code = Empty,
            otel.status_description = Empty,
            error.type = Empty,
        );
        (query, response)
    };
    let spans = fixture.spans_of(|| {
        // `src/error.rs`, `record_in_current_span`: with the feature `opentelemetry`, and without it.
        {
            let (_query, response) = query();
            tracing::record_all!(
                response,
                otel.status_code = "Error",
                otel.status_description = "response error: no table",
                error.type = "BadResponse",
            );
        }
        {
            let (_query, response) = query();
            let _response = response.entered();
            event!(
                target: "clickhouse::error",
                Level::DEBUG,
                error = %"no table",
                "response error"
            );
        }
        let (_query, response) = query();
        let _response = response.entered();
        event!(target: "clickhouse::response", Level::DEBUG, "fine");
    });
    let queries = spans.iter().filter(|span| span.name == "clickhouse.query");
    let errors: Vec<_> = queries
        .map(|span| {
            (
                span.error,
                span.meta.get("error.message").map(String::as_str),
            )
        })
        .collect();
    let told = Some("no table");
    assert_eq!(
        errors,
        [(1, Some("response error: no table")), (1, told), (0, None)]
    );
}

#[test]
fn scylla_and_async_graphql_are_understood() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        // async-graphql 7.2: `src/extensions/tracing.rs`.
        let request = info_span!(target: "async_graphql::graphql", "request");
        let _request = request.entered();
        drop(info_span!(target: "async_graphql::graphql", "parse"));
        info_span!(target: "async_graphql::graphql", "field", path = %"cart").in_scope(|| {
            event!(
                target: "async_graphql::graphql",
                Level::INFO,
                error = %"no such cart",
                "error"
            );
        });
        // scylla 1.9: `src/observability/driver_tracing.rs`.
        let cql = trace_span!(
            target: "scylla::observability::driver_tracing",
            "Request",
            kind = "unprepared",
            contents = "SELECT name FROM items",
            result_rows = Empty,
        );
        cql.record("result_rows", 2);
    });
    let cql = named(&spans, "cassandra.query");
    assert_eq!(
        (&*cql.resource, &*cql.type_),
        ("SELECT name FROM items", "cassandra")
    );
    assert_eq!(cql.metrics["db.row_count"], 2.0);
    assert_eq!(cql.meta["component"], "scylla");
    assert_eq!(parent(&spans, "cassandra.query"), Some("request"));
    assert_eq!(parent(&spans, "parse"), Some("request"));
    let parse = named(&spans, "parse");
    assert_eq!(
        (&*parse.meta["component"], parse.error),
        ("async-graphql", 0)
    );
    for failed in ["field", "request"] {
        let failed = named(&spans, failed);
        assert_eq!(failed.error, 1, "{failed:?}");
        assert_eq!(failed.meta["error.message"], "no such cart");
    }
}

#[test]
fn mongodb_s_commands_become_spans_that_lasted() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let _request = info_span!("request").entered();
        // As mongodb 3.9 tells them: `src/trace/command.rs`.
        for (number, name, message, failure) in [
            (7, "find", "Command succeeded", None),
            (8, "insert", "Command failed", Some("duplicate key")),
        ] {
            event!(
                target: "mongodb::command",
                Level::DEBUG,
                databaseName = "shop",
                commandName = name,
                requestId = number,
                serverHost = "db.local",
                serverPort = 27_017,
                command = "{\"find\": \"secret\"}",
                "Command started"
            );
            event!(
                target: "mongodb::command",
                Level::DEBUG,
                failure,
                commandName = name,
                requestId = number,
                serverHost = "db.local",
                serverPort = 27_017,
                durationMS = 250_u128,
                "{message}"
            );
        }
    });
    assert_eq!(spans.len(), 3);
    let of = |command: &str| spans.iter().find(|span| span.resource == command).unwrap();
    let (find, insert) = (of("find"), of("insert"));
    for command in [find, insert] {
        assert_eq!(
            (&*command.name, &*command.type_),
            ("mongodb.query", "mongodb")
        );
        assert_eq!(command.duration_ns, 250_000_000);
        for (key, value) in [
            ("db.name", "shop"),
            ("db.system", "mongodb"),
            ("out.host", "db.local"),
            ("span.kind", "client"),
        ] {
            assert_eq!(command.meta[key], value);
        }
        assert_eq!(command.metrics["network.destination.port"], 27_017.0);
        assert!(command.meta.values().all(|text| !text.contains("secret")));
    }
    assert_eq!((find.error, insert.error), (0, 1));
    assert_eq!(insert.meta["error.message"], "duplicate key");
    assert_eq!(parent(&spans, "mongodb.query"), Some("request"));
}
