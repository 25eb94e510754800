//! clickhouse. The server is the test's own: it speaks HTTP, knows no SQL, and answers as ClickHouse does
//! (<https://clickhouse.com/docs/interfaces/http>).

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use clickhouse::Client;
use tokio::net::TcpListener;
use tracing::Instrument;

use crate::fixture::{Fixture, assert_child, in_order, named, tags};

const NO_TABLE: &str = "Code: 60. DB::Exception: Unknown table expression identifier 'sellers'. \
    (UNKNOWN_TABLE) (version 25.8.1.5101 (official build))";
const TIMEOUT: &str = "Code: 159. DB::Exception: Timeout exceeded: elapsed 1.2 seconds, maximum: 0.1. \
    (TIMEOUT_EXCEEDED) (version 24.10.1.2812 (official build))\n";

/// Two numbers as `RowBinary`, an error, or rows that end with one.
async fn answer(query: String) -> Response {
    if query.contains("sellers") {
        let code = [("X-ClickHouse-Exception-Code", "60")];
        return (StatusCode::NOT_FOUND, code, NO_TABLE).into_response();
    }
    if query.contains("slow") {
        return TIMEOUT.into_response();
    }
    match query.starts_with("SELECT") {
        true => [7_u32.to_le_bytes(), 9_u32.to_le_bytes()]
            .concat()
            .into_response(),
        false => StatusCode::OK.into_response(),
    }
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn ask() {
    let client = Client::default()
        .with_url(format!("http://{}", serve().await))
        .with_user("me")
        .with_password("secret")
        .with_validation(false);
    let ask = async {
        let select = client.query("SELECT id FROM buyers WHERE name = ?");
        let ids: Vec<u32> = select.bind("secret").fetch_all().await.unwrap();
        assert_eq!(ids, [7, 9]);
        let missing = client.query("TRUNCATE TABLE sellers").execute().await;
        missing.unwrap_err();
        let slow = client.query("SELECT id FROM slow WHERE name = ?");
        slow.bind("secret").fetch_all::<u32>().await.unwrap_err();
        let mut insert = client.insert_formatted_with("INSERT INTO buyers FORMAT TSV");
        insert
            .send(Bytes::from_static(b"7\tsecret\n"))
            .await
            .unwrap();
        insert.end().await.unwrap();
    };
    ask.instrument(tracing::info_span!("order")).await;
}

#[test]
fn queries_become_spans() {
    let fixture = Fixture::new();
    fixture.run_traced(ask());
    let spans = fixture.spans(9);
    let order = named(&spans, "order");
    let queries = in_order(&spans, "clickhouse.query");
    let told: Vec<_> = queries
        .iter()
        .map(|query| (&*query.resource, query.error))
        .collect();
    // It tells no SQL.
    let expected = [
        ("clickhouse.query", 0),
        ("clickhouse.query", 1),
        ("clickhouse.query", 1),
        ("INSERT", 0),
    ];
    assert_eq!(told, expected);
    let responses = in_order(&spans, "response");
    for (query, response) in queries.iter().zip(&responses) {
        assert_child(query, order);
        assert_child(response, query);
        assert_eq!((&*query.service, &*query.type_), ("shop", "sql"));
        let keys = ["component", "span.kind", "db.system"];
        assert_eq!(tags(query, keys), ["clickhouse", "client", "clickhouse"]);
        assert_eq!(tags(response, keys), ["clickhouse", "-", "-"]);
        assert_eq!(&*response.type_, "custom");
    }
    // The second is refused. The third fails while its rows are read, when the response has begun.
    let errors: Vec<_> = responses.iter().map(|response| response.error).collect();
    assert_eq!(errors, [0, 1, 0, 0]);
    for (query, message) in [(queries[1], NO_TABLE), (queries[2], TIMEOUT.trim())] {
        let message = format!("bad response: {message}");
        assert_eq!(tags(query, ["error.message"]), [message]);
    }
    let metrics = &queries[0].metrics;
    assert_eq!(metrics["db.row_count"], 2.0);
    assert_eq!(metrics["clickhouse.response.received_bytes"], 8.0);
    assert_eq!(queries[3].metrics["clickhouse.request.sent_bytes"], 9.0);
    let all = format!("{spans:?} {:?}", fixture.agent.logs());
    assert!(!all.contains("secret"), "{all}");
}
