//! What sea-orm does with SQLite. Alone in its program: SQLite's statements have threads of their own, which only the subscriber
//! of the whole program sees.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(unreachable_pub, reason = "what sea-orm derives is public")]

use std::time::Duration;

use datadog::{DDClient, DDConfig};
use datadog_local_agent::{LocalAgent, Span};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Database, TransactionTrait};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const LIMIT: Duration = Duration::from_secs(20);

const INSERT: &str = "INSERT INTO buyers ( name ) VALUES ( ? )";
/// What it reads of a row that it has inserted.
const FIND: &str = "SELECT buyers . id, buyers . name FROM buyers WHERE buyers . id = ? LIMIT ?";
const SELECT: &str = "SELECT buyers . id, buyers . name FROM buyers WHERE buyers . name = ?";

mod buyer {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "buyers")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

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

    let order = tracing::info_span!("order");
    buy().instrument(order).await;

    client.flush(LIMIT);
    agent
        .wait_for(LIMIT, |got| got.spans().any(|span| span.name == "order"))
        .unwrap();
    let spans = agent.spans();
    let order = spans.iter().find(|span| span.name == "order").unwrap();
    // What sqlx asks for itself while it connects is no statement of the ORM's.
    let of_sqlx = spans.iter().filter(|span| span.name == "sql.query");
    let of_sqlx: Vec<_> = of_sqlx.map(|span| &*span.resource).collect();
    assert_eq!(of_sqlx, ["PRAGMA foreign_keys = ON"]);
    let of_orm = |span: &&Span| !["order", "sql.query"].contains(&&*span.name);
    let mut statements: Vec<_> = spans.iter().filter(of_orm).collect();
    statements.sort_by_key(|span| span.start_ns);
    let resources: Vec<_> = statements.iter().map(|span| &*span.resource).collect();
    // One span for each, sqlx below it tells the same; and none for what is at work between them.
    let expected = [
        "sea_orm.execute_unprepared",
        INSERT,
        FIND,
        "sea_orm.begin",
        INSERT,
        FIND,
        "sea_orm.commit",
        SELECT,
        "sea_orm.execute_unprepared",
    ];
    assert_eq!(resources, expected);
    for statement in &statements {
        assert_eq!(
            (&*statement.name, &*statement.type_),
            ("sqlite.query", "sql")
        );
        assert_eq!(
            (statement.trace_id, statement.parent_id),
            (order.trace_id, order.span_id)
        );
        let tags = ["component", "span.kind", "db.system"].map(|key| &*statement.meta[key]);
        assert_eq!(tags, ["sea-orm", "client", "sqlite"]);
        let told = statement
            .meta
            .values()
            .any(|value| value.contains("secret"));
        assert!(!told, "{statement:?}");
    }
    let (failed, others) = statements.split_last().unwrap();
    assert_eq!(failed.error, 1);
    let message = &failed.meta["error.message"];
    assert!(message.contains("no such table: sellers"), "{message}");
    assert!(others.iter().all(|statement| statement.error == 0));
}

async fn buy() {
    let database = Database::connect("sqlite::memory:").await.unwrap();
    database
        .execute_unprepared("CREATE TABLE buyers (id integer PRIMARY KEY, name text)")
        .await
        .unwrap();
    let buyer = || buyer::ActiveModel {
        name: Set("secret".to_owned()),
        ..Default::default()
    };
    buyer().insert(&database).await.unwrap();
    let transaction = database.begin().await.unwrap();
    buyer().insert(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let found = buyer::Entity::find().filter(buyer::Column::Name.eq("secret"));
    assert_eq!(found.all(&database).await.unwrap().len(), 2);
    database
        .execute_unprepared("DROP TABLE sellers")
        .await
        .unwrap_err();
    database.close().await.unwrap();
}
