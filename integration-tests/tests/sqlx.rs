//! Statements of sqlx to SQLite, and to PostgreSQL where there is one. Alone in its program: SQLite's have threads of their own,
//! which only the subscriber of the whole program sees.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::Duration;

use datadog::tracing::obfuscate_sql;
use datadog::{DDClient, DDConfig};
use datadog_local_agent::LocalAgent;
use integration_tests::postgresql::PostgreSql;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const LIMIT: Duration = Duration::from_secs(20);

const CREATE: &str = "CREATE TABLE buyers (id int, name text)";
const INSERT: &str = "INSERT INTO buyers VALUES (1, $1), (2, $1)";
const SELECT: &str = "SELECT name FROM buyers WHERE name = $1";

#[tokio::test]
async fn statements_become_spans() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .service("shop");
    let client = DDClient::new(config.build().unwrap()).unwrap();
    tracing_subscriber::registry()
        .with(client.tracing_layer())
        .init();

    let sqlite = SqliteConnectOptions::new().in_memory(true);
    let order = tracing::info_span!("order on sqlite");
    run(sqlite.connect().await.unwrap()).instrument(order).await;
    let mut orders = vec!["order on sqlite"];
    if let Some(server) = PostgreSql::start() {
        let postgresql = PgConnectOptions::new()
            .socket(server.socket_directory())
            .username("shop")
            .database("postgres");
        let order = tracing::info_span!("order on postgresql");
        run(postgresql.connect().await.unwrap())
            .instrument(order)
            .await;
        orders.push("order on postgresql");
    } else {
        println!("left out: there is no PostgreSQL");
    }

    let shown = [CREATE, INSERT, SELECT].map(obfuscate_sql);
    let is_ours = |resource: &str| shown.iter().any(|shown| shown == resource);
    client.flush(LIMIT);
    agent
        .wait_for(LIMIT, |got| {
            let ours = got.spans().filter(|span| is_ours(&span.resource));
            ours.count() >= 3 * orders.len()
        })
        .unwrap();
    let spans = agent.spans();
    for order in orders {
        let order = spans.iter().find(|span| span.name == order).unwrap();
        let mut statements: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_id == order.span_id && is_ours(&span.resource))
            .collect();
        statements.sort_by_key(|span| span.start_ns);
        let resources: Vec<_> = statements.iter().map(|span| &*span.resource).collect();
        assert_eq!(resources, shown, "{}", order.name);
        for statement in &statements {
            assert_eq!((&*statement.name, &*statement.type_), ("sql.query", "sql"));
            assert_eq!(statement.meta["component"], "sqlx");
            assert_eq!(statement.meta["span.kind"], "client");
            assert_eq!(statement.trace_id, order.trace_id);
            let told = statement
                .meta
                .values()
                .any(|value| value.contains("secret"));
            assert!(!told, "{statement:?}");
        }
        assert_eq!(statements[1].metrics["db.rows_affected"], 2.0);
        assert_eq!(statements[2].metrics["db.row_count"], 2.0);
    }
}

async fn run<C>(mut connection: C)
where
    C: Connection,
    for<'c> &'c mut C: sqlx::Executor<'c, Database = C::Database>,
    for<'q> &'q str: sqlx::Encode<'q, C::Database> + sqlx::Type<C::Database>,
    <C::Database as sqlx::Database>::Arguments: sqlx::IntoArguments<C::Database>,
{
    sqlx::query(CREATE).execute(&mut connection).await.unwrap();
    let insert = sqlx::query(INSERT).bind("secret");
    insert.execute(&mut connection).await.unwrap();
    let select = sqlx::query(SELECT).bind("secret");
    let rows = select.fetch_all(&mut connection).await.unwrap();
    assert_eq!(rows.len(), 2);
    connection.close().await.unwrap();
}
