//! Commands to a server that speaks Redis's protocol: one of its own that knows a few commands, and the real one where
//! there is `redis-server`.

mod responder;

use integration_tests::redis_server::RedisServer;
use redis::{AsyncTypedCommands, Client, TypedCommands};

use crate::fixture::{Fixture, assert_child, runtime, tags};
use responder::Responder;

#[test]
fn commands_become_spans_without_their_arguments() {
    let responder = Responder::start();
    let fixture = Fixture::new();
    blocking(&fixture, &responder.url());
    check(&fixture);

    let fixture = Fixture::new();
    runtime().block_on(asynchronous(&fixture, &responder.url()));
    check(&fixture);
}

#[test]
fn commands_to_a_real_server_become_spans() {
    let Some(server) = RedisServer::start() else {
        println!("left out: there is no redis-server");
        return;
    };
    let fixture = Fixture::new();
    blocking(&fixture, &server.url());
    check(&fixture);

    let fixture = Fixture::new();
    runtime().block_on(asynchronous(&fixture, &server.url()));
    check(&fixture);
}

fn blocking(fixture: &Fixture, url: &str) {
    let client = Client::open(url).unwrap();
    let connection = client.get_connection().unwrap();
    let redis = fixture.client.redis_connection(connection);
    let mut redis = redis.connected_to(client.get_connection_info());
    let _order = fixture.client.trace("order");
    redis.set("secret:key", "secret value").unwrap();
    assert_eq!(
        redis.get("secret:key").unwrap().as_deref(),
        Some("secret value")
    );
    assert!(redis.incr("secret:key", 1).is_err());
    let both: (String, i64) = redis::pipe()
        .get("secret:key")
        .del("secret:key")
        .query(&mut redis)
        .unwrap();
    assert_eq!(both, ("secret value".to_owned(), 1));
}

async fn asynchronous(fixture: &Fixture, url: &str) {
    let client = Client::open(url).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let redis = fixture.client.redis_connection(connection);
    let mut redis = redis.connected_to(client.get_connection_info());
    let order = fixture.client.trace("order").detach();
    let commands = async move {
        redis.set("secret:key", "secret value").await.unwrap();
        assert_eq!(
            redis.get("secret:key").await.unwrap().as_deref(),
            Some("secret value")
        );
        assert!(redis.incr("secret:key", 1).await.is_err());
        let both: (String, i64) = redis::pipe()
            .get("secret:key")
            .del("secret:key")
            .query_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(both, ("secret value".to_owned(), 1));
    };
    datadog::FutureExt::in_span(commands, order).await;
}

fn check(fixture: &Fixture) {
    let spans = fixture.spans(5);
    let order = spans.iter().find(|span| span.name == "order").unwrap();
    let mut commands: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "redis.command")
        .collect();
    commands.sort_by_key(|span| span.start_ns);
    let resources: Vec<_> = commands.iter().map(|span| &*span.resource).collect();
    assert_eq!(resources, ["SET", "GET", "INCRBY", "GET DEL"]);
    for command in &commands {
        assert_child(command, order);
        assert_eq!(command.type_, "redis");
        let keys = [
            "component",
            "db.system",
            "span.kind",
            "db.redis.database_index",
            "out.host",
        ];
        let expected = ["redis", "redis", "client", "0", "127.0.0.1"];
        assert_eq!(tags(command, keys), expected);
        assert!(command.metrics["network.destination.port"] > 0.0);
        let failed = command.resource == "INCRBY";
        assert_eq!(command.error, i32::from(failed));
        assert!(!command.meta.values().any(|value| value.contains("secret")));
    }
    let [message] = tags(commands[2], ["error.message"]);
    assert!(message.contains("not an integer"), "{message}");
}
