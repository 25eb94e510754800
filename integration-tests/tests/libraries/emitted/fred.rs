//! fred, with its feature `partial-tracing`.

use fred::prelude::{Builder, ClientLike, Config, KeysInterface, TracingConfig};
use integration_tests::redis_server::RedisServer;
use tracing::Instrument;

use crate::fixture::{Fixture, assert_child, in_order, named, tags};

async fn ask(url: &str) {
    let mut config = Config::from_url(url).unwrap();
    config.tracing = TracingConfig::new(true);
    let redis = Builder::from_config(config).build().unwrap();
    redis.init().await.unwrap();
    let ask = async {
        let set = redis.set::<(), _, _>("secret:key", "secret value", None, None, false);
        set.await.unwrap();
        let found: Option<String> = redis.get("secret:key").await.unwrap();
        assert_eq!(found.as_deref(), Some("secret value"));
        redis.incr::<i64, _>("secret:key").await.unwrap_err();
    };
    ask.instrument(tracing::info_span!("order")).await;
    redis.quit().await.unwrap();
}

#[test]
fn commands_become_spans() {
    let Some(server) = RedisServer::start() else {
        println!("left out: there is no redis-server");
        return;
    };
    let fixture = Fixture::new();
    fixture.run_traced(ask(&server.url()));
    let spans = fixture.spans(8);
    let order = named(&spans, "order");
    let commands = in_order(&spans, "redis.query");
    let resources: Vec<_> = commands.iter().map(|command| &*command.resource).collect();
    assert_eq!(resources, ["SET", "GET", "INCR"]);
    let trips = in_order(&spans, "fred.rtt");
    for (command, trip) in commands.iter().zip(&trips) {
        assert_child(command, order);
        assert_child(trip, command);
        assert_eq!((&*command.service, &*command.type_), ("shop", "redis"));
        let keys = ["component", "span.kind", "db.system", "db.operation"];
        let expected = ["fred", "client", "redis", &*command.resource];
        assert_eq!(tags(command, keys), expected);
        assert_eq!(tags(trip, ["component", "span.kind"]), ["fred", "-"]);
        assert!(command.metrics["cmd.res"] > 0.0, "{command:?}");
        // What is answered it does not tell: neither that `INCR` failed.
        assert_eq!((command.error, trip.error), (0, 0));
    }
    // Of `QUIT` it tells the trip only.
    let [_, _, _, quit] = trips[..] else {
        panic!("{trips:#?}");
    };
    assert_eq!(quit.parent_id, 0);
    let all = format!("{spans:?} {:?}", fixture.agent.logs());
    assert!(!all.contains("secret"), "{all}");
}
