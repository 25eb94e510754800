//! What is not for others: values that the program asks with, users and passwords, queries of URLs.

use tracing::field::{Empty, display};
use tracing::{Level, event, info, info_span, trace_span};

use crate::support::Fixture;

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
