//! What is not for others: values that the program asks with, users and passwords, queries of URLs.

use tracing::field::{Empty, display};
use tracing::{Level, event, info, info_span, trace_span};

use crate::support::{Fixture, named};

#[test]
fn values_and_passwords_are_not_sent() {
    let fixture = Fixture::new();
    let subscriber = fixture.subscriber_with(|layer| layer.span_events(true));
    tracing::dispatcher::with_default(&subscriber, || {
        // mysql_async 0.37: `src/conn/routines/exec.rs`.
        let exec = info_span!(
            target: "mysql_async::conn::routines::exec",
            "mysql_async::exec",
            mysql_async.connection.id = 1,
            mysql_async.statement.id = 2,
            mysql_async.query.params = Empty,
        );
        exec.record("mysql_async.query.params", "[hunter2]");
        // scylla 1.9: `src/observability/driver_tracing.rs`.
        let prepared = trace_span!(
            target: "scylla::observability::driver_tracing",
            "Request",
            kind = "prepared",
            partition_key = Empty,
        );
        prepared.record("partition_key", display("hunter2"));
        // async-graphql 7.2: `src/extensions/tracing.rs`.
        let parse = info_span!(target: "async_graphql::graphql", "parse", source = Empty);
        parse.record("source", "mutation { login(password: \"hunter2\") }");
        // axum-tracing-opentelemetry 0.42 by tracing-opentelemetry-instrumentation-sdk: `src/http/http_server.rs`.
        let request = info_span!(
            target: "otel::tracing",
            "HTTP request",
            http.request.method = "GET",
            otel.kind = "server",
            url.path = "/cart",
            url.query = "token=hunter2",
            url.full = "http://me:hunter2@shop.local/cart?token=hunter2",
            http.referrer = "http://shop.local/?hunter2",
        );
        let _request = request.entered();
        info!(
            url.query = "hunter2",
            http.url = "/a?hunter2",
            "of the span and of its own"
        );
        event!(
            target: "async_graphql::graphql",
            Level::INFO,
            source = "hunter2",
            "of a library"
        );
    });
    let spans = fixture.spans();
    let logs = fixture.agent.logs();
    assert_eq!((spans.len(), logs.len()), (4, 2));
    for text in [format!("{spans:#?}"), format!("{logs:#?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let request = spans.iter().find(|span| span.name == "http.server.request");
    let url = &request.unwrap().meta["http.url"];
    assert_eq!(url, "http://shop.local/cart?<redacted>");
}

#[test]
fn fields_with_urls_are_looked_at_wherever_they_are() {
    let fixture = Fixture::new();
    let subscriber = fixture.subscriber_with(|layer| layer.span_events(true));
    tracing::dispatcher::with_default(&subscriber, || {
        let url = "https://me:hunter2@shop.local/a?b=hunter2#hunter2";
        drop(info_span!("a", url));
        drop(info_span!("b", uri = url));
        drop(info_span!("c", http.uri = url));
        drop(info_span!("d", http.request.header.referer = url));
        let span = info_span!("e", db.connection_string = "password=hunter2");
        let _span = span.entered();
        info!(url, uri = url, "with a URL");
    });
    let spans = fixture.spans();
    let shown = "https://shop.local/a?<redacted>";
    for (name, key) in [
        ("a", "url"),
        ("b", "uri"),
        ("c", "http.uri"),
        ("d", "http.request.header.referer"),
    ] {
        assert_eq!(named(&spans, name).meta[key], shown);
    }
    let all = format!("{spans:?} {:?}", fixture.agent.logs());
    assert!(!all.contains("hunter2"), "{all}");
    assert!(fixture.agent.logs()[0].attribute("uri").is_some());
}

#[test]
fn statements_lose_their_values() {
    let fixture = Fixture::new();
    let subscriber = fixture.subscriber_with(|layer| {
        layer
            .span_events(true)
            .log_level(tracing::level_filters::LevelFilter::DEBUG)
    });
    let sql = "SELECT a FROM users WHERE password = 'hunter2'";
    tracing::dispatcher::with_default(&subscriber, || {
        let _request = info_span!("request").entered();
        event!(target: "sqlx::query", Level::DEBUG, summary = sql, elapsed_secs = 0.5);
        event!(target: "sqlx::query", Level::DEBUG, db.statement = sql, elapsed_secs = 0.5);
        drop(info_span!(
            target: "mysql_async::conn::routines::query",
            "mysql_async::query",
            mysql_async.query.sql = sql,
        ));
        drop(trace_span!(
            target: "scylla::observability::driver_tracing",
            "Request",
            contents = sql,
        ));
        let redis = info_span!(
            "get",
            db.system = "redis",
            otel.kind = "client",
            db.statement = "GET 'a'"
        );
        let _redis = redis.entered();
        info!(db.query.text = sql, "asked");
    });
    let spans = fixture.spans();
    let logs = fixture.agent.logs();
    assert_eq!((spans.len(), logs.len()), (6, 3));
    for text in [format!("{spans:#?}"), format!("{logs:#?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let shown = "SELECT a FROM users WHERE password = ?";
    for (name, count) in [("sql.query", 2), ("mysql.query", 1), ("cassandra.query", 1)] {
        let told = spans
            .iter()
            .filter(|span| span.name == name && span.resource == shown);
        assert_eq!(told.count(), count, "{name}");
    }
    assert_eq!(named(&spans, "mysql.query").meta["db.statement"], shown);
    assert_eq!(named(&spans, "redis.query").meta["db.statement"], "GET 'a'");
}

#[test]
fn documents_of_mongodb_stay_here() {
    let fixture = Fixture::new();
    let subscriber = fixture.subscriber_with(|layer| {
        layer
            .span_events(true)
            .log_level(tracing::level_filters::LevelFilter::DEBUG)
    });
    tracing::dispatcher::with_default(&subscriber, || {
        let _request = info_span!("request").entered();
        // mongodb 3.9: `src/trace/command.rs`.
        event!(
            target: "mongodb::command",
            Level::DEBUG,
            command = "{ \"find\": \"hunter2\" }",
            requestId = 7,
            "Command started"
        );
        event!(
            target: "mongodb::command",
            Level::DEBUG,
            reply = "{ \"name\": \"hunter2\" }",
            failure = "E11000 duplicate key, index: name dup key: { name: \"hunter2\" }",
            commandName = "insert",
            requestId = 7,
            durationMS = 250,
            "Command failed"
        );
    });
    let spans = fixture.spans();
    let logs = fixture.agent.logs();
    assert_eq!((spans.len(), logs.len()), (2, 2));
    for text in [format!("{spans:#?}"), format!("{logs:#?}")] {
        assert!(
            text.contains("Command failed") && !text.contains("hunter2"),
            "{text}"
        );
    }
    let message = &named(&spans, "mongodb.query").meta["error.message"];
    assert_eq!(message, "E11000 duplicate key, index: name");
}

#[test]
fn addresses_of_clients_are_told_if_they_are_wanted() {
    for (wanted, told) in [("false", false), ("true", true)] {
        let fixture = Fixture::with(&[("DD_TRACE_CLIENT_IP_ENABLED", wanted)]);
        let subscriber = fixture.subscriber_with(|layer| layer.span_events(true));
        tracing::dispatcher::with_default(&subscriber, || {
            let outer = info_span!("outer").entered();
            let span = info_span!("x", client.address = "192.0.2.1:4711");
            let _span = span.entered();
            info!(http.client_ip = "192.0.2.1", "served");
            drop(outer);
        });
        let spans = fixture.spans();
        let [entry] = fixture.agent.logs().try_into().unwrap();
        let address = spans
            .iter()
            .find_map(|span| span.meta.get("http.client_ip"));
        assert_eq!(address.map(String::as_str), told.then_some("192.0.2.1"));
        let attributes = ["client.address", "http.client_ip"].map(|key| entry.attribute(key));
        assert_eq!(attributes.map(|value| value.is_some()), [told; 2]);
        let all = format!("{spans:?} {entry:?}");
        assert_eq!(all.contains("192.0.2.1"), told, "{all}");
    }
}
