//! What spans carry without being told.

mod common;

use common::{LIMIT, config, named, start};
use datadog_local_agent::LocalAgent;
use datadog_trace::SpanKind;
use serde_json::json;

#[test]
fn the_first_span_of_a_chunk_says_where_the_trace_was_made() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .git_commit_sha("1f7e0d7a1d9d7e3ba9a3c2a7b6b2a1c0d9e8f7a6")
            .git_repository_url("https://me:secret@git.example/shop.git")
            .tags([("git.commit.sha", "other"), ("team", "checkout")]),
    );
    {
        let _root = tracer.trace("root");
        let _child = tracer.trace("child");
    }
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let (root, child) = (named(&spans, "root"), named(&spans, "child"));
    let (commit, repository) = ("_dd.git.commit.sha", "_dd.git.repository_url");
    assert_eq!(
        root.meta[commit],
        "1f7e0d7a1d9d7e3ba9a3c2a7b6b2a1c0d9e8f7a6"
    );
    assert_eq!(root.meta[repository], "https://git.example/shop.git");
    assert!(root.meta["_dd.tags.process"].contains("entrypoint.name:"));
    assert_eq!(
        (root.metrics["_dd.tracer_kr"], &*root.meta["language"]),
        (1.0, "rust")
    );
    assert!(!root.meta["runtime-id"].is_empty());
    for key in [
        commit,
        repository,
        "_dd.tags.process",
        "runtime-id",
        "language",
    ] {
        assert!(!child.meta.contains_key(key), "{key}");
    }
    assert!(!child.metrics.contains_key("_dd.tracer_kr"));
    for span in &spans {
        assert_eq!(
            (span.meta.get("git.commit.sha"), &*span.meta["team"]),
            (None, "checkout")
        );
    }
}

#[test]
fn what_is_turned_off_is_not_said() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .git_commit_sha("1f7e0d7a1d9d7e3ba9a3c2a7b6b2a1c0d9e8f7a6")
            .git_metadata_enabled(false)
            .process_tags_enabled(false),
    );
    tracer.trace("root").finish();
    tracer.flush(LIMIT);
    let root = &agent.spans()[0];
    assert!(
        !root.meta.contains_key("_dd.git.commit.sha")
            && !root.meta.contains_key("_dd.tags.process")
    );
}

#[test]
fn peers_are_found_in_other_tags_and_renamed() {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([
        ("client_drop_p0s", json!(true)),
        ("peer_tags", json!(["peer.service"])),
    ]);
    let config = config(&agent.url())
        .peer_service_defaults_enabled(true)
        .peer_service_mapping([("orders", "orders-db"), ("10.0.0.7", "mail")]);
    let tracer = start(config);
    // Asks the agent what it takes.
    tracer.flush(LIMIT);
    let kinds: [(_, _, &[(&'static str, &str)]); 6] = [
        (
            "query",
            SpanKind::Client,
            &[
                ("db.system", "postgresql"),
                ("out.host", "10.0.0.7"),
                ("db.name", "orders"),
            ],
        ),
        ("get", SpanKind::Client, &[("out.host", "shop.example")]),
        (
            "cql",
            SpanKind::Client,
            &[("db.system", "cassandra"), ("out.host", "10.0.0.7")],
        ),
        ("send", SpanKind::Producer, &[("peer.hostname", "10.0.0.7")]),
        ("said", SpanKind::Client, &[("peer.service", "payments")]),
        ("serve", SpanKind::Server, &[("out.host", "10.0.0.7")]),
    ];
    for (name, kind, tags) in kinds {
        let mut span = tracer.trace(name);
        span.set_kind(kind);
        for (key, text) in tags {
            span.set_tag(*key, *text);
        }
    }
    tracer.flush(LIMIT);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let spans = agent.spans();
    let facts = |name| {
        let span = named(&spans, name);
        let tag = |key| span.meta.get(key).map(String::as_str);
        [
            tag("peer.service"),
            tag("_dd.peer.service.source"),
            tag("_dd.peer.service.remapped_from"),
        ]
    };
    assert_eq!(
        facts("query"),
        [Some("orders-db"), Some("db.name"), Some("orders")]
    );
    assert_eq!(facts("get"), [Some("shop.example"), Some("out.host"), None]);
    assert_eq!(facts("cql"), [None; 3]);
    assert_eq!(
        facts("send"),
        [Some("mail"), Some("peer.hostname"), Some("10.0.0.7")]
    );
    assert_eq!(
        facts("said"),
        [Some("payments"), Some("peer.service"), None]
    );
    assert_eq!(facts("serve"), [None; 3]);
    let groups = agent.stats_groups();
    let query = groups.iter().find(|group| group.key.name == "query");
    assert_eq!(query.unwrap().key.peer_tags, ["peer.service:orders-db"]);
}

#[test]
fn a_child_whose_service_is_sent_by_the_parents_name_is_no_entry_to_it() {
    let agent = LocalAgent::start().unwrap();
    let mapping = [("shop", "store"), ("cache", "store"), ("db", "cellar")];
    let tracer = start(config(&agent.url()).service_mapping(mapping));
    tracer.traced("root", |_root| {
        for service in ["cache", "store", "db"] {
            tracer.trace(service).set_service(service);
        }
    });
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let facts = |name| {
        let span = named(&spans, name);
        let top_level = span.metrics.contains_key("_dd.top_level");
        (&*span.service, top_level)
    };
    assert_eq!(facts("root"), ("store", true));
    assert_eq!(facts("cache"), ("store", false));
    assert_eq!(facts("store"), ("store", false));
    assert_eq!(facts("db"), ("cellar", true));
}

#[test]
fn services_have_the_names_that_are_configured_and_say_where_from() {
    let agent = LocalAgent::start().unwrap();
    let tracer =
        start(config(&agent.url()).service_mapping([("postgres", "orders-db"), ("cache", "shop")]));
    {
        let _root = tracer.trace("root");
        tracer.traced("query", |span| {
            span.set_service("postgres").set_type("sql");
        });
        tracer.traced("get", |span| {
            span.set_service("cache").set_type("cache");
        });
        tracer.traced("mail", |span| {
            span.set_service("mailer").set_type("http");
        });
    }
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let facts = |name| {
        let span = named(&spans, name);
        let tag = |key| span.meta.get(key).map(String::as_str);
        (&*span.service, tag("_dd.svc_src"), tag("_dd.base_service"))
    };
    assert_eq!(facts("root"), ("shop", None, None));
    assert_eq!(
        facts("query"),
        ("orders-db", Some("opt.mapping"), Some("shop"))
    );
    assert_eq!(facts("get"), ("shop", None, None));
    assert_eq!(facts("mail"), ("mailer", Some("m"), Some("shop")));
}
