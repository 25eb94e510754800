//! What spans carry without being told.

mod common;

use common::{LIMIT, config, named, start};
use datadog_local_agent::LocalAgent;

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
