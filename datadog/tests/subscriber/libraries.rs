//! Spans and events of libraries, as they are and as they were read in their sources.

use std::convert::Infallible;

use tower::{Layer, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tracing::instrument::WithSubscriber;
use tracing::{Level, event, info_span};

use crate::support::{Fixture, named, parent};

#[test]
fn tower_http_s_requests_are_requests() {
    let fixture = Fixture::new();
    let client = fixture.client.clone();
    let service = service_fn(move |request: http::Request<String>| {
        let handler = client.trace("handler");
        let status = if request.uri().path().ends_with("/7") {
            200
        } else {
            500
        };
        drop(handler);
        async move {
            let response = http::Response::builder().status(status).body(String::new());
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let service = TraceLayer::new_for_http().layer(service);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    for path in ["/cart/7?token=secret", "/cart/8"] {
        let request = http::Request::builder()
            .uri(path)
            .body(String::new())
            .unwrap();
        let answer = service.clone().oneshot(request);
        runtime
            .block_on(answer.with_subscriber(fixture.subscriber()))
            .unwrap();
    }
    drop(runtime);
    let spans = fixture.spans();
    let requests: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "http.server.request")
        .collect();
    assert_eq!(requests.len(), 2);
    for (request, (status, error, url)) in requests
        .iter()
        .zip([("200", 0, "/cart/7?<redacted>"), ("500", 1, "/cart/8")])
    {
        assert_eq!(
            (&*request.resource, &*request.type_),
            ("GET /cart/?", "web")
        );
        assert_eq!(request.meta["http.status_code"], status);
        assert_eq!(request.meta["http.url"], url);
        assert_eq!(request.meta["component"], "tower-http");
        assert_eq!(request.error, error);
    }
    assert_eq!(parent(&spans, "handler"), Some("http.server.request"));
}

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
    assert_eq!(query.resource, "SELECT\n  name\nFROM\n  items");
    assert_eq!((&*query.type_, query.duration_ns), ("sql", 1_500_000_000));
    assert_eq!(query.metrics["db.row_count"], 2.0);
    assert_eq!(query.meta["component"], "sqlx");
    let orm = named(&spans, "sqlite.query");
    assert_eq!(
        (&*orm.resource, &*orm.meta["component"]),
        ("SELECT 1", "sea-orm")
    );
}

#[test]
fn other_databases_say_who_they_are() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        drop(info_span!(
            target: "mysql_async::queryable",
            "mysql_async::query",
            mysql_async.query.sql = "SELECT 2",
        ));
        drop(info_span!(target: "fred", "fred.command", cmd.name = "GET"));
    });
    let mysql = named(&spans, "mysql.query");
    assert_eq!((&*mysql.resource, &*mysql.type_), ("SELECT 2", "sql"));
    let redis = named(&spans, "redis.query");
    assert_eq!((&*redis.resource, &*redis.type_), ("GET", "redis"));
    assert_eq!(redis.meta["component"], "fred");
}
