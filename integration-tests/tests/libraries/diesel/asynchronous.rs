//! Queries of diesel-async on PostgreSQL, through the same hook.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use integration_tests::postgresql::PostgreSql;

use super::buyers;
use crate::fixture::{Fixture, assert_child, in_order, runtime, tags};

/// The hook is the process's, so this goes after the test of it, within the same one.
pub(super) fn queries_become_spans_without_their_values(server: &PostgreSql) {
    let fixture = Fixture::new();
    assert!(fixture.client.instrument_diesel());
    let host = server.socket_directory().display().to_string();
    runtime().block_on(async {
        let order = fixture.client.trace("order").detach();
        let place = format!("host={host} user=shop dbname=postgres");
        datadog::FutureExt::in_span(queries(&place), order).await;
    });

    let spans = fixture.spans(7);
    let order = spans.iter().find(|span| span.name == "order").unwrap();
    let queries = in_order(&spans, "postgresql.query");
    let insert = "INSERT INTO buyers ( id, name ) VALUES ( ? )";
    let resources: Vec<_> = queries
        .iter()
        .map(|span| (&*span.resource, span.error))
        .collect();
    let expected = [
        // What diesel-async says when it connects.
        ("SET TIME ZONE ?", 0),
        ("SET CLIENT_ENCODING TO ?", 0),
        ("CREATE TABLE buyers ( id int PRIMARY KEY, name text )", 0),
        (insert, 0),
        (insert, 1),
        (
            "SELECT buyers . id FROM buyers WHERE ( buyers . name LIKE ? )",
            0,
        ),
    ];
    assert_eq!(resources, expected);
    for query in &queries {
        assert_child(query, order);
        let keys = ["component", "db.system", "out.host", "db.name"];
        let expected = ["diesel", "postgresql", &host, "postgres"];
        assert_eq!(tags(query, keys), expected);
        assert!(!format!("{query:?}").contains("secret"), "{query:?}");
    }
    let [message] = tags(queries[4], ["error.message"]);
    assert!(message.contains("buyers_pkey"), "{message}");
}

async fn queries(place: &str) {
    let mut connection = AsyncPgConnection::establish(place).await.unwrap();
    diesel::sql_query("CREATE TABLE buyers (id int PRIMARY KEY, name text)")
        .execute(&mut connection)
        .await
        .unwrap();
    let insert =
        || diesel::insert_into(buyers::table).values((buyers::id.eq(1), buyers::name.eq("secret")));
    insert().execute(&mut connection).await.unwrap();
    insert().execute(&mut connection).await.unwrap_err();
    let found: Vec<i32> = buyers::table
        .filter(buyers::name.like("secret%"))
        .select(buyers::id)
        .load(&mut connection)
        .await
        .unwrap();
    assert_eq!(found, [1]);
}
