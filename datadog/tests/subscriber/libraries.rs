//! Spans and events of libraries, as they are and as they were read in their sources.

use std::convert::Infallible;
use std::future::{Ready, ready};

use datadog_local_agent::Span;
use http::{Request, Response};
use tower::util::ServiceFn;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tracing::field::Empty;
use tracing::instrument::WithSubscriber;
use tracing::{Level, event, info_span, trace_span};

use crate::support::{Fixture, named, parent};

#[test]
fn tower_http_s_requests_are_requests() {
    let fixture = Fixture::new();
    let client = fixture.client.clone();
    let service = service_fn(move |request: Request<String>| {
        let handler = client.trace("handler");
        let status = if request.uri().path().ends_with("/7") {
            200
        } else {
            500
        };
        drop(handler);
        async move {
            let response = Response::builder().status(status).body(String::new());
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let service = TraceLayer::new_for_http().layer(service);
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    for path in ["/cart/7?token=secret", "/cart/8"] {
        let request = Request::get(path).body(String::new()).unwrap();
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

/// The spans of a request to a service that `wrap` puts layers around.
fn request_to<S>(fixture: &Fixture, wrap: impl FnOnce(Handler) -> S) -> Vec<Span>
where
    S: Service<Request<String>, Error = Infallible>,
{
    let answer: fn(_) -> _ = |_| ready(Ok(Response::new(String::new())));
    let service = wrap(service_fn(answer));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer = async {
        let request = Request::get("/cart/7").body(String::new()).unwrap();
        // The body is dropped within, and the span of the request with it.
        drop(service.oneshot(request).await);
    };
    runtime.block_on(answer.with_subscriber(fixture.subscriber()));
    fixture.spans()
}

type Handler = ServiceFn<fn(Request<String>) -> Ready<Result<Response<String>, Infallible>>>;

#[test]
fn tower_http_s_spans_are_left_out_where_the_client_s_layer_tells_the_same() {
    let fixture = Fixture::new();
    let layer = fixture.client.tower_server_layer();
    let inside = request_to(&fixture, |handler| {
        TraceLayer::new_for_http().layer(layer.layer(handler))
    });
    let fixture = Fixture::new();
    let layer = fixture.client.tower_server_layer();
    let outside = request_to(&fixture, |handler| {
        layer.layer(TraceLayer::new_for_http().layer(handler))
    });
    for spans in [inside, outside] {
        let [span] = spans.try_into().unwrap();
        let tags = ["component", "http.status_code"].map(|key| &*span.meta[key]);
        assert_eq!(
            (&*span.name, tags),
            ("http.server.request", ["tower", "200"])
        );
    }
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
fn poem_and_warp_tell_the_status_when_they_have_answered() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        // poem 3.1: `src/middleware/tracing_mw.rs`.
        for (path, status) in [
            ("/found", "200 OK"),
            ("/broken", "500 Internal Server Error"),
        ] {
            let request = info_span!(
                target: "poem::middleware::tracing_mw",
                "request",
                remote_addr = %"192.0.2.1",
                version = ?http::Version::HTTP_11,
                method = %"GET",
                uri = %path,
            );
            request.in_scope(|| {
                event!(
                    target: "poem::middleware::tracing_mw",
                    Level::INFO,
                    status = %status,
                    duration = ?std::time::Duration::from_millis(1),
                    "response"
                );
            });
        }
        // warp 0.4: `src/filters/trace.rs`.
        let request = info_span!(
            target: "warp::filters::trace",
            "request",
            remote.addr = Empty,
            method = %"GET",
            path = "/missing",
            version = ?http::Version::HTTP_11,
            referer = Empty,
        );
        request.record("remote.addr", tracing::field::display("192.0.2.1:4711"));
        let _request = request.entered();
        event!(target: "warp::filters::trace", Level::INFO, "processing request");
        event!(
            target: "warp::filters::trace",
            Level::WARN,
            status = 404_u16,
            error = ?Some("not found"),
            "unable to serve request (client error)"
        );
    });
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            let tags = ["component", "http.url", "http.status_code"];
            assert_eq!(span.name, "http.server.request");
            assert!(!span.meta.contains_key("http.client_ip"));
            (tags.map(|key| &*span.meta[key]), span.error)
        })
        .collect();
    let expected = [
        (["poem", "/found", "200"], 0),
        (["poem", "/broken", "500"], 1),
        (["warp", "/missing", "404"], 0),
    ];
    assert_eq!(told, expected);
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

#[test]
fn scylla_and_async_graphql_are_understood() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let request = info_span!(target: "async_graphql::graphql", "request");
        let _request = request.entered();
        drop(info_span!(target: "async_graphql::graphql", "parse"));
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
    assert_eq!(parse.meta["component"], "async-graphql");
}

#[test]
fn mongodb_s_commands_become_spans_that_lasted() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let _request = info_span!("request").entered();
        // As mongodb 3.9 tells them: `src/trace/command.rs`.
        for (name, message, failure) in [
            ("find", "Command succeeded", None),
            ("insert", "Command failed", Some("duplicate key")),
        ] {
            event!(
                target: "mongodb::command",
                Level::DEBUG,
                databaseName = "shop",
                commandName = name,
                requestId = 7,
                serverHost = "db.local",
                serverPort = 27_017,
                command = "{\"find\": \"secret\"}",
                "Command started"
            );
            event!(
                target: "mongodb::command",
                Level::DEBUG,
                databaseName = "shop",
                commandName = name,
                requestId = 7,
                serverHost = "db.local",
                serverPort = 27_017,
                durationMS = 250_u64,
                failure,
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
