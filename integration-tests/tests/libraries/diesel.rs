//! Queries of diesel on SQLite, through the hook of the process.

mod asynchronous;

use diesel::prelude::*;
use integration_tests::postgresql::PostgreSql;

use crate::fixture::{Fixture, assert_child, in_order, tags};

diesel::table! {
    buyers (id) {
        id -> Integer,
        name -> Text,
    }
}

/// The hook is the process's: one test for all of it.
#[test]
fn queries_become_spans_without_their_values() {
    let earlier = Fixture::new();
    assert!(earlier.client.instrument_diesel());
    let fixture = Fixture::new();
    assert!(fixture.client.instrument_diesel());

    let order = fixture.client.trace("order");
    let mut connection = SqliteConnection::establish(":memory:").unwrap();
    diesel::sql_query("CREATE TABLE buyers (id INTEGER PRIMARY KEY, name TEXT)")
        .execute(&mut connection)
        .unwrap();
    let insert = |id: i32, connection: &mut SqliteConnection| {
        diesel::insert_into(buyers::table)
            .values((
                buyers::id.eq(id),
                buyers::name.eq("secret -- binds: ['more']"),
            ))
            .execute(connection)
    };
    insert(1, &mut connection).unwrap();
    assert!(insert(1, &mut connection).is_err());
    let found: Vec<i32> = buyers::table
        .filter(buyers::name.like("secret%"))
        .select(buyers::id)
        .load(&mut connection)
        .unwrap();
    assert_eq!(found, [1]);
    diesel::sql_query("DELETE FROM buyers WHERE name = 'secret'")
        .execute(&mut connection)
        .unwrap();
    order.finish();

    let spans = fixture.spans(6);
    let order = spans.iter().find(|span| span.name == "order").unwrap();
    let queries = in_order(&spans, "sqlite.query");
    let insert = "INSERT INTO buyers ( id, name ) VALUES ( ? )";
    let resources: Vec<_> = queries
        .iter()
        .map(|span| (&*span.resource, span.error))
        .collect();
    let expected = [
        (
            "CREATE TABLE buyers ( id INTEGER PRIMARY KEY, name TEXT )",
            0,
        ),
        (insert, 0),
        (insert, 1),
        (
            "SELECT buyers . id FROM buyers WHERE ( buyers . name LIKE ? )",
            0,
        ),
        ("DELETE FROM buyers WHERE name = ?", 0),
    ];
    assert_eq!(resources, expected);
    for query in &queries {
        assert_child(query, order);
        assert_eq!(query.type_, "sql");
        let keys = ["component", "db.system", "span.kind"];
        assert_eq!(tags(query, keys), ["diesel", "sqlite", "client"]);
        assert!(!format!("{query:?}").contains("secret"), "{query:?}");
    }
    let [message] = tags(queries[2], ["error.message"]);
    assert_eq!(message, "UNIQUE constraint failed: buyers.id");
    assert!(earlier.agent.spans().is_empty());
    crate::patch::diesel_is_patched();
    match PostgreSql::start() {
        Some(server) => asynchronous::queries_become_spans_without_their_values(&server),
        None => println!("left out: there is no PostgreSQL"),
    }
}
