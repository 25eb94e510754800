//! mysql_async, with its feature `tracing`.

mod responder;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tracing::Instrument;

use crate::fixture::{Fixture, assert_child, in_order, named, tags};

async fn ask() {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(responder::start())
        .user(Some("me"))
        .pass(Some("secret"))
        // What it else asks the server for.
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 20))
        .wait_timeout(Some(60));
    let mut connection = Conn::new(options).await.unwrap();
    let ask = async {
        let update = "UPDATE buyers SET name = 'secret'";
        connection.query_drop(update).await.unwrap();
        let delete = "DELETE FROM buyers WHERE name = ?";
        connection.exec_drop(delete, ("secret",)).await.unwrap();
        let drop = "DROP TABLE sellers";
        connection.query_drop(drop).await.unwrap_err();
    };
    ask.instrument(tracing::info_span!("order")).await;
    connection.disconnect().await.unwrap();
}

#[test]
fn statements_become_spans() {
    let fixture = Fixture::new();
    fixture.run_traced(ask());
    let spans = fixture.spans(5);
    let order = named(&spans, "order");
    let statements = in_order(&spans, "mysql.query");
    let told: Vec<_> = statements
        .iter()
        .map(|statement| (&*statement.resource, statement.error))
        .collect();
    let expected = [
        ("UPDATE buyers SET name = ?", 0),
        ("DELETE FROM buyers WHERE name = ?", 0),
        // It tells the number of the statement only.
        ("mysql_async::exec", 0),
        ("DROP TABLE sellers", 1),
    ];
    assert_eq!(told, expected);
    for statement in &statements {
        assert_child(statement, order);
        assert_eq!((&*statement.service, &*statement.type_), ("shop", "sql"));
        let keys = ["component", "span.kind", "db.system"];
        assert_eq!(tags(statement, keys), ["mysql_async", "client", "mysql"]);
    }
    let [message] = tags(statements[3], ["error.message"]);
    assert!(message.contains(responder::NO_TABLE), "{message}");
    let all = format!("{spans:?} {:?}", fixture.agent.logs());
    assert!(!all.contains("secret"), "{all}");
}
