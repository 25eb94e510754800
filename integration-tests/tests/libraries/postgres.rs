//! Queries of tokio-postgres to a PostgreSQL that the test starts, where there is one.

use integration_tests::postgresql::PostgreSql;
use tokio_postgres::{Client, Config, NoTls};

use crate::fixture::{Fixture, assert_child, in_order, runtime, tags};

#[test]
fn queries_become_spans_without_their_values() {
    let Some(server) = PostgreSql::start() else {
        println!("left out: there is no PostgreSQL");
        return;
    };
    let fixture = Fixture::new();
    runtime().block_on(async {
        let (postgres, config) = connect(&server).await;
        let order = fixture.client.trace("order").detach();
        datadog::FutureExt::in_span(queries(&fixture, postgres, &config), order).await;
    });

    let spans = fixture.spans(9);
    let order = spans.iter().find(|span| span.name == "order").unwrap();
    let queries = in_order(&spans, "postgresql.query");
    let expected = [
        (
            "CREATE TABLE buyers ( id int PRIMARY KEY, name text )",
            "-",
            "-",
        ),
        ("INSERT INTO buyers VALUES ( ? )", "-", "2"),
        ("SELECT name FROM buyers WHERE id = ?", "1", "-"),
        ("SELECT name FROM buyers WHERE id > ?", "2", "-"),
        ("SELECT name FROM buyers WHERE name = ?", "0", "-"),
        ("SELECT name FROM buyers", "-", "-"),
        ("DELETE FROM buyers", "-", "2"),
        ("INSERT INTO buyers VALUES ( ? )", "-", "-"),
    ];
    let found: Vec<_> = queries
        .iter()
        .map(|span| {
            let [rows, affected] = tags(span, ["db.row_count", "db.rows_affected"]);
            (&*span.resource, rows, affected)
        })
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(text, rows, affected)| (*text, &**rows, &**affected))
        .collect();
    assert_eq!(found, expected);
    for query in &queries {
        assert_child(query, order);
        assert_eq!(query.type_, "sql");
        let keys = ["component", "db.system", "span.kind"];
        assert_eq!(
            tags(query, keys),
            ["tokio-postgres", "postgresql", "client"]
        );
        assert!(
            !query.meta.values().any(|value| value.contains("secret")),
            "{query:?}"
        );
    }
    // Those whose client was told it.
    let of_database = queries
        .iter()
        .filter(|span| tags(span, ["db.name"]) == ["postgres"]);
    assert_eq!(of_database.count(), 6);
    let failed: Vec<_> = queries.iter().filter(|span| span.error == 1).collect();
    assert_eq!(failed.len(), 1);
    let [kind, message] = tags(failed[0], ["error.type", "error.message"]);
    assert_eq!(kind, "23505");
    assert!(message.contains("buyers_pkey"), "{message}");
}

async fn queries(fixture: &Fixture, mut postgres: Client, config: &Config) {
    let queries = fixture.client.postgres(&postgres).connected_to(config);
    queries
        .batch_execute("CREATE TABLE buyers (id int PRIMARY KEY, name text)")
        .await
        .unwrap();
    let two = "INSERT INTO buyers VALUES (1, 'secret'), (2, 'secret too')";
    assert_eq!(queries.execute(two, &[]).await.unwrap(), 2);
    let one = queries
        .query_one("SELECT name FROM buyers WHERE id = $1", &[&1])
        .await
        .unwrap();
    assert_eq!(one.get::<_, &str>(0), "secret");
    let all = queries
        .query("SELECT name FROM buyers WHERE id > 0 -- secret", &[])
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    let none = queries
        .query_opt("SELECT name FROM buyers WHERE name = 'secret one'", &[])
        .await;
    assert!(none.unwrap().is_none());
    let sql = "SELECT name FROM buyers";
    let statement = postgres.prepare(sql).await.unwrap();
    let prepared = queries
        .run(sql, postgres.query(&statement, &[]))
        .await
        .unwrap();
    assert_eq!(prepared.len(), 2);

    let transaction = postgres.transaction().await.unwrap();
    let in_transaction = fixture.client.postgres(&transaction);
    assert_eq!(
        in_transaction
            .execute("DELETE FROM buyers", &[])
            .await
            .unwrap(),
        2
    );
    transaction.rollback().await.unwrap();
    let again = "INSERT INTO buyers VALUES (1, 'secret')";
    assert!(
        fixture
            .client
            .postgres(&postgres)
            .execute(again, &[])
            .await
            .is_err()
    );
}

async fn connect(server: &PostgreSql) -> (Client, Config) {
    let place = format!(
        "host={} user=shop dbname=postgres",
        server.socket_directory().display()
    );
    let config: Config = place.parse().unwrap();
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    (client, config)
}
