//! Statistics that are computed here, as a strict agent receives them.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use common::{LIMIT, assert_balanced, config, start};
use datadog_config::{DDConfigBuilder, SamplingRule};
use datadog_local_agent::{Endpoint, Fault, LocalAgent, StatsGroup};
use datadog_trace::{SpanContext, SpanKind, Tracer};
use datadog_transport::{DropReason, SignalKind, Standalone};
use serde_json::{Value, json};

/// An agent that takes statistics, and a tracer that knows it.
fn agent_and_tracer<const N: usize>(
    info: [(&str, Value); N],
    configure: impl FnOnce(DDConfigBuilder) -> DDConfigBuilder,
) -> (LocalAgent, Standalone<Tracer>) {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([("client_drop_p0s", json!(true))]);
    agent.set_info(info);
    let tracer = start(configure(config(&agent.url())));
    // Asks the agent what it takes.
    tracer.flush(LIMIT);
    (agent, tracer)
}

fn named<'a>(groups: &'a [StatsGroup], name: &str) -> &'a StatsGroup {
    let mut of_name = groups.iter().filter(|group| group.key.name == name);
    let found = of_name
        .next()
        .unwrap_or_else(|| panic!("no {name} in {groups:#?}"));
    assert!(
        of_name.next().is_none(),
        "{name} comes twice in {groups:#?}"
    );
    found
}

fn keep_nothing(config: DDConfigBuilder) -> DDConfigBuilder {
    config.tracing_sample_rate(0.0)
}

fn header(agent: &LocalAgent, path: &str, name: &str) -> Vec<Option<String>> {
    let requests = agent.requests().into_iter();
    requests
        .filter(|request| request.path == path)
        .map(|request| request.header(name).map(str::to_owned))
        .collect()
}

#[test]
fn groups_and_payloads_say_what_the_spans_say_of_their_source() {
    let (agent, tracer) = agent_and_tracer([], |config| config.service_mapping([("db", "cellar")]));
    for service in ["shop", "bank", "db"] {
        let mut span = tracer.trace("web.request");
        span.set_service(service);
    }
    {
        let mut span = tracer.trace("web.request");
        span.set_service("other").set_tag("_dd.svc_src", "hand");
    }
    tracer.flush(LIMIT);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let groups = agent.stats_groups();
    let spans = agent.spans();
    assert_eq!((groups.len(), spans.len()), (4, 4));
    for (service, source) in [
        ("shop", ""),
        ("bank", "m"),
        ("cellar", "opt.mapping"),
        ("other", "hand"),
    ] {
        let group = groups.iter().find(|group| group.key.service == service);
        assert_eq!(group.unwrap().key.service_source, source);
        let span = spans.iter().find(|span| span.service == service);
        let tag = span.unwrap().tag("_dd.svc_src").unwrap_or_default();
        assert_eq!(tag, source);
    }
    let [payload] = agent.stats().try_into().unwrap();
    let process_tags = spans[0].tag("_dd.tags.process").unwrap();
    assert!(process_tags.contains("entrypoint.name:"));
    assert_eq!(payload.process_tags, process_tags);
}

#[test]
fn versions_of_spans_are_told_apart_up_to_a_limit() {
    let (agent, tracer) = agent_and_tracer([], |config| config.version("1"));
    let make = |version: Option<String>| {
        let mut span = tracer.trace("web.request");
        if let Some(version) = version {
            span.set_tag("version", version);
        }
    };
    make(None);
    for version in ["", "1", "2", "2"] {
        make(Some(version.to_owned()));
    }
    for version in 10..40 {
        make(Some(version.to_string()));
    }
    tracer.flush(LIMIT);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let mut hits = BTreeMap::<String, u64>::new();
    let mut versions_at = BTreeMap::<u64, u64>::new();
    for payload in agent.stats() {
        for bucket in &payload.buckets {
            let count: u64 = bucket.groups.iter().map(|group| group.hits).sum();
            *hits.entry(payload.version.clone()).or_default() += count;
            *versions_at.entry(bucket.start_ns).or_default() += 1;
        }
    }
    assert_eq!(hits.values().sum::<u64>(), 35, "{hits:?}");
    assert_eq!(hits["2"], 2);
    assert!(hits["1"] >= 3, "{hits:?}");
    // The time of a bucket may end in between.
    assert!(
        versions_at.values().all(|versions| *versions <= 17) && hits.len() >= 17,
        "{hits:?}"
    );
    assert_balanced(&tracer.health());
}

#[test]
fn spans_that_count_are_counted_in_their_groups() {
    let (agent, tracer) =
        agent_and_tracer([("peer_tags", json!(["db.name", "out.host"]))], |config| {
            config.hostname("web-1").report_hostname(true)
        });
    for number in 0..10 {
        let mut request = tracer.trace("web.request");
        request
            .set_type("web")
            .set_resource("GET /cart")
            .set_kind(SpanKind::Server)
            .set_tag("http.method", "GET")
            .set_tag("http.route", "/cart/{id}")
            .set_tag("http.status_code", 200);
        tracer.traced("helper", |_| ());
        tracer.traced("measured", |span| {
            span.set_measured();
        });
        let mut query = tracer.trace("db.query");
        query
            .set_kind(SpanKind::Client)
            .set_tag("out.host", "10.1.2.3")
            .set_tag("db.name", "carts")
            .set_tag("grpc.code", "StatusCode.NOT_FOUND");
        if number < 3 {
            query.set_error(&"x".parse::<i32>().unwrap_err());
        }
    }
    assert_eq!(tracer.flush(LIMIT).delivered, 40);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let groups = agent.stats_groups();
    assert_eq!(groups.len(), 3, "{groups:#?}");

    let request = named(&groups, "web.request");
    assert_eq!(
        (request.hits, request.errors, request.top_level_hits),
        (10, 0, 10)
    );
    let key = &request.key;
    assert_eq!(
        (&*key.service, &*key.resource, &*key.type_),
        ("shop", "GET /cart", "web")
    );
    assert_eq!((&*key.span_kind, key.http_status_code), ("server", 200));
    assert_eq!(
        (&*key.http_method, &*key.http_endpoint),
        ("GET", "/cart/{id}")
    );
    assert_eq!((key.is_trace_root, key.synthetics), (Some(true), false));
    assert!(key.peer_tags.is_empty());

    let query = named(&groups, "db.query");
    assert_eq!((query.hits, query.errors, query.top_level_hits), (10, 3, 0));
    assert_eq!(
        query.key.peer_tags,
        ["db.name:carts", "out.host:blocked-ip-address"]
    );
    assert_eq!(
        (&*query.key.grpc_status_code, query.key.is_trace_root),
        ("5", Some(false))
    );
    assert_eq!(named(&groups, "measured").hits, 10);

    // What the agent would count from the spans themselves.
    for (group, spans) in [(request, "web.request"), (query, "db.query")] {
        let spans: Vec<_> = agent
            .spans()
            .into_iter()
            .filter(|span| span.name == spans)
            .collect();
        let durations: Vec<u64> = spans.iter().map(|span| span.duration_ns as u64).collect();
        assert_eq!(group.duration_ns, durations.iter().sum::<u64>());
    }
    let longest = agent
        .spans()
        .into_iter()
        .filter(|span| span.name == "web.request");
    let longest = longest.map(|span| span.duration_ns).max().unwrap() as f64;
    let shown = request.ok.quantile(1.0).unwrap();
    assert!(
        (shown / longest - 1.0).abs() <= 0.0101,
        "{shown} for {longest}"
    );

    let payload = &agent.stats()[0];
    assert_eq!(
        (&*payload.hostname, &*payload.env, &*payload.version),
        ("web-1", "test", "1.2.3")
    );
    assert_eq!(
        (&*payload.lang, &*payload.service, payload.sequence),
        ("rust", "shop", 1)
    );
    let runtime_id = agent.spans()[0].meta.get("runtime-id").cloned();
    assert_eq!(Some(payload.runtime_id.clone()), runtime_id);
    assert_eq!(payload.obfuscation_version, None);
    assert_eq!(payload.buckets[0].duration_ns, 10_000_000_000);
    assert_eq!(
        header(&agent, "/v0.4/traces", "datadog-client-computed-stats"),
        [Some("yes".to_owned())]
    );
}

#[test]
fn traces_that_are_not_kept_are_counted_and_not_sent() {
    let (agent, tracer) = agent_and_tracer([], |config| {
        let rule = SamplingRule::new(1.0).name("audit");
        keep_nothing(config).tracing_sampling_rules([rule])
    });
    for _ in 0..5 {
        let _root = tracer.trace("work");
        tracer.traced("inner", |_| ());
    }
    tracer.traced("audit", |_| ());
    tracer.traced("broken", |span| {
        span.set_error(&"x".parse::<i32>().unwrap_err());
        tracer.traced("inner", |_| ());
    });
    let report = tracer.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.get(DropReason::Sampled)),
        (3, 10)
    );
    assert_balanced(&tracer.health());
    let groups = agent.stats_groups();
    assert_eq!(named(&groups, "work").hits, 5);
    assert_eq!(named(&groups, "broken").errors, 1);
    let mut sent: Vec<_> = agent.spans().into_iter().map(|span| span.name).collect();
    sent.sort();
    assert_eq!(sent, ["audit", "broken", "inner"]);
    let told = |name| header(&agent, "/v0.4/traces", name);
    assert_eq!(
        told("datadog-client-dropped-p0-traces"),
        [Some("5".to_owned())]
    );
    assert_eq!(
        told("datadog-client-dropped-p0-spans"),
        [Some("10".to_owned())]
    );
}

#[test]
fn what_is_left_out_is_told_once_whatever_becomes_of_the_payload() {
    let (agent, tracer) = agent_and_tracer([], |config| {
        let rule = SamplingRule::new(1.0).name("audit");
        keep_nothing(config).tracing_sampling_rules([rule])
    });
    let flush = |fault: Option<u16>| {
        if let Some(status) = fault {
            agent.fail_next(1, Endpoint::Traces, Fault::Status(status));
        }
        tracer.traced("work", |_| ());
        (0..2).for_each(|_| tracer.traced("audit", |_| ()));
        tracer.flush(LIMIT)
    };
    let told = || {
        let told = header(&agent, "/v0.4/traces", "datadog-client-dropped-p0-traces");
        let told = told.into_iter().flatten();
        told.map(|told| told.parse().unwrap()).collect::<Vec<u64>>()
    };
    // Not taken: told again with the next.
    assert_eq!(flush(Some(400)).dropped.get(DropReason::Refused(400)), 2);
    assert_eq!(flush(None).delivered, 2);
    assert_eq!(told(), [1, 2]);
    // Halved: told with one half.
    assert_eq!(flush(Some(413)).delivered, 2);
    assert_eq!(told()[2..], [1, 1, 0]);
    let versions = header(&agent, "/v0.4/traces", "datadog-rates-payload-version");
    assert!(versions.iter().all(Option::is_some), "{versions:?}");
}

#[test]
fn spans_that_are_kept_alone_are_sent_without_their_trace() {
    let (agent, tracer) = agent_and_tracer([], |config| {
        let rule = datadog_config::SpanSamplingRule::new(1.0).name("payment");
        keep_nothing(config).span_sampling_rules([rule])
    });
    {
        let _root = tracer.trace("checkout");
        tracer.traced("payment", |_| ());
    }
    let report = tracer.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.get(DropReason::Sampled)),
        (1, 1)
    );
    let span = &agent.spans()[0];
    assert_eq!(
        (&*span.name, span.metrics["_dd.span_sampling.mechanism"]),
        ("payment", 8.0)
    );
    assert_eq!(span.metrics["_sampling_priority_v1"], -1.0);
    assert!(span.meta.contains_key("runtime-id"));
    assert_balanced(&tracer.health());
}

#[test]
fn without_the_agents_leave_everything_is_sent_and_nothing_computed() {
    for (info, enabled) in [
        ([("client_drop_p0s", json!(false))], true),
        ([("endpoints", json!(["/v0.4/traces"]))], true),
        ([("client_drop_p0s", json!(true))], false),
        // A filter that can't be read here.
        ([("ignore_resources", json!([r"\p{Greek}"]))], true),
    ] {
        let (agent, tracer) = agent_and_tracer(info, |config| {
            keep_nothing(config).stats_computation_enabled(enabled)
        });
        tracer.traced("work", |_| ());
        assert_eq!(tracer.flush(LIMIT).delivered, 1);
        assert!(agent.stats().is_empty());
        assert_eq!(
            header(&agent, "/v0.4/traces", "datadog-client-computed-stats"),
            [None]
        );
        assert_eq!(
            header(&agent, "/v0.4/traces", "datadog-client-dropped-p0-spans"),
            [None]
        );
    }
}

#[test]
fn traces_that_the_agent_filters_are_neither_counted_nor_sent() {
    let filters = [
        (
            "filter_tags",
            json!({"reject": ["debug", "team:noise"], "require": []}),
        ),
        ("filter_tags_regex", json!({"reject": ["path:^/internal/"]})),
        ("ignore_resources", json!(["^GET /health"])),
    ];
    let (agent, tracer) = agent_and_tracer(filters, |config| config);
    tracer.traced("one", |span| {
        span.set_resource("GET /healthz");
    });
    for (key, value) in [("debug", "x"), ("team", "noise"), ("path", "/internal/x")] {
        tracer.traced("two", |span| {
            span.set_tag(key, value);
        });
    }
    tracer.traced("good", |span| {
        span.set_tag("path", "/x/internal/").set_tag("team", "cart");
        tracer.traced("inner", |span| {
            span.set_tag("debug", "only the first span counts");
        });
    });
    let report = tracer.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.get(DropReason::Filtered)),
        (2, 4)
    );
    assert_eq!(agent.stats_groups().len(), 1);
    assert_balanced(&tracer.health());
}

#[test]
fn values_beyond_the_limits_share_one_place() {
    let (agent, tracer) = agent_and_tracer([], |config| {
        config
            .stats_resource_cardinality_limit(2)
            .stats_cardinality_limit(4)
    });
    for number in 0..5 {
        tracer.traced("work", |span| {
            span.set_resource(format!("GET /{number}"));
        });
    }
    for number in 0..4 {
        tracer.traced(format!("more{number}"), |span| {
            span.set_resource("GET /0");
        });
    }
    tracer.flush(LIMIT);
    let groups = agent.stats_groups();
    let hits = |name: &str, resource: &str| {
        let fits = |group: &&StatsGroup| group.key.name == name && group.key.resource == resource;
        groups.iter().find(fits).map_or(0, |group| group.hits)
    };
    let blocked = "tracer_blocked_value";
    assert_eq!(
        [
            hits("work", "GET /0"),
            hits("work", "GET /1"),
            hits("work", blocked)
        ],
        [1, 1, 3]
    );
    assert_eq!([hits("more0", "GET /0"), hits(blocked, blocked)], [1, 3]);
    assert_eq!(groups.len(), 5);
    let overflow = groups
        .iter()
        .find(|group| group.key.name == blocked)
        .unwrap();
    assert_eq!(overflow.key.is_trace_root, None);
}

#[test]
fn endpoints_and_peers_beyond_their_limits_share_one_place_each() {
    let (agent, tracer) = agent_and_tracer([("peer_tags", json!(["db.name"]))], |config| {
        config
            .stats_http_endpoint_cardinality_limit(3)
            .stats_peer_tags_cardinality_limit(2)
    });
    for number in 0..6 {
        tracer.traced("work", |span| {
            span.set_kind(SpanKind::Client)
                .set_tag("http.route", format!("/{number}"))
                .set_tag("db.name", format!("db{number}"));
        });
    }
    // What is known keeps its place.
    tracer.traced("work", |span| {
        span.set_kind(SpanKind::Client)
            .set_tag("http.route", "/2")
            .set_tag("db.name", "db1");
    });
    tracer.flush(LIMIT);
    let mut groups: Vec<_> = agent
        .stats_groups()
        .into_iter()
        .map(|group| {
            let peer = group.key.peer_tags.join(",");
            (group.key.http_endpoint, peer, group.hits)
        })
        .collect();
    groups.sort();
    let blocked = "tracer_blocked_value";
    let expected = [
        ("/0", "db.name:db0", 1),
        ("/1", "db.name:db1", 1),
        ("/2", "db.name:db1", 1),
        ("/2", blocked, 1),
        (blocked, blocked, 3),
    ];
    let expected =
        expected.map(|(endpoint, peer, hits)| (endpoint.to_owned(), peer.to_owned(), hits));
    assert_eq!(groups, expected);
}

#[test]
fn statistics_go_out_at_the_end_whatever_the_times_of_their_spans() {
    let (agent, tracer) = agent_and_tracer([], |config| config);
    let day = Duration::from_secs(24 * 60 * 60);
    for (name, start, end) in [
        ("past", SystemTime::now() - 2 * day, SystemTime::now() - day),
        (
            "future",
            SystemTime::now() + day,
            SystemTime::now() + 2 * day,
        ),
    ] {
        let mut span = tracer.trace(name);
        span.set_start_time(start);
        span.finish_at(end);
    }
    tracer.shutdown(LIMIT);
    let groups = agent.stats_groups();
    for name in ["past", "future"] {
        assert!(named(&groups, name).duration_ns >= day.as_nanos() as u64);
    }
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let buckets = agent
        .stats()
        .into_iter()
        .flat_map(|payload| payload.buckets);
    for bucket in buckets {
        let age = now.saturating_sub(Duration::from_nanos(bucket.start_ns));
        assert!(age < Duration::from_secs(40), "{age:?}");
    }
}

#[test]
fn statistics_wait_for_an_agent_that_fails() {
    let (agent, tracer) = agent_and_tracer([], |config| config);
    agent.fail_next(1, Endpoint::Stats, Fault::Status(503));
    tracer.traced("work", |_| ());
    let report = tracer.flush(LIMIT);
    assert_eq!((report.delivered, report.buffered), (1, 0), "{report}");
    assert!(agent.stats().is_empty());
    tracer.flush(LIMIT);
    assert_eq!(named(&agent.stats_groups(), "work").hits, 1);
    assert_balanced(&tracer.health());
}

/// They are in no account of spans, and a group that never arrives is lost for the figures of its service.
#[test]
fn statistics_have_an_account_of_their_own() {
    let (agent, tracer) = agent_and_tracer([], keep_nothing);
    let work = |names: &[&'static str]| {
        for name in names {
            tracer.trace(*name).finish();
            tracer.trace(*name).finish();
        }
    };
    let statistics = || {
        let health = tracer.health().signal(SignalKind::Statistics);
        assert_balanced(&tracer.health());
        health
    };
    work(&["a", "b", "c"]);
    tracer.flush(LIMIT);
    let arrived = statistics();
    assert_eq!((arrived.accepted, arrived.delivered), (3, 3));
    assert!(arrived.bytes > 0 && arrived.requests == 1, "{arrived:?}");
    assert_eq!(agent.stats_groups().len(), 3);

    agent.fail_next(1, Endpoint::Stats, Fault::Status(400));
    work(&["a", "b"]);
    tracer.flush(LIMIT);
    let refused = statistics().dropped;
    assert_eq!(
        (refused.get(DropReason::Refused(400)), refused.total()),
        (2, 2)
    );

    agent.fail_endpoint(Endpoint::Stats, Fault::Status(503));
    work(&["a"]);
    tracer.flush(LIMIT);
    let waiting = statistics();
    assert_eq!((waiting.accepted, waiting.buffered), (6, 1));
    assert!(waiting.last_error.unwrap().message.contains("503"));
    tracer.shutdown(Duration::from_millis(300));
    let end = statistics();
    assert_eq!(end.dropped.get(DropReason::Shutdown), 1, "{end:?}");
    assert_eq!((end.buffered, end.delivered), (0, 3));
    let spans = tracer.health().signal(SignalKind::Traces);
    assert_eq!(spans.dropped.get(DropReason::Sampled), 12, "{spans:?}");
    assert_eq!((spans.accepted, spans.last_error), (12, None));
}

#[test]
fn what_synthetic_tests_ask_for_is_told_apart() {
    let (agent, tracer) = agent_and_tracer([], |config| config);
    let headers = [
        ("x-datadog-trace-id", "7"),
        ("x-datadog-parent-id", "8"),
        ("x-datadog-sampling-priority", "0"),
        ("x-datadog-origin", "synthetics-browser"),
    ];
    let upstream = tracer.extract(&headers.to_vec()).unwrap();
    drop(tracer.trace_from(&upstream, "asked"));
    drop(tracer.trace_from(&SpanContext::from_ids(5, 6, Some(false)), "asked.else"));
    let report = tracer.flush(LIMIT);
    assert_eq!(
        report.dropped.get(DropReason::Sampled),
        2,
        "the caller decided"
    );
    let groups = agent.stats_groups();
    let (asked, other) = (named(&groups, "asked"), named(&groups, "asked.else"));
    assert_eq!((asked.key.synthetics, other.key.synthetics), (true, false));
    assert_eq!(
        (asked.key.is_trace_root, asked.top_level_hits),
        (Some(false), 1)
    );
}

#[test]
fn the_agent_may_change_its_mind() {
    let (agent, tracer) = agent_and_tracer([], keep_nothing);
    tracer.traced("work", |_| ());
    tracer.flush(LIMIT);
    let got = (agent.spans().len(), agent.stats_groups().len());
    assert_eq!(got, (0, 1));
    agent.clear();
    agent.set_info([("client_drop_p0s", json!(false))]);
    // An answer tells of the change, and the worker asks what it is.
    tracer.traced("broken", |span| {
        span.set_error(&"x".parse::<i32>().unwrap_err());
    });
    tracer.flush(LIMIT);
    tracer.traced("work", |_| ());
    assert_eq!(tracer.flush(LIMIT).delivered, 1);
}

#[test]
fn resources_tell_no_values_where_the_agent_wants_that() {
    for (version, flags, obfuscated) in [
        (1, json!(["big_resource"]), true),
        (1, json!(["keep_sql_alias"]), false),
        (0, json!([]), false),
        (99, json!([]), false),
    ] {
        let (agent, tracer) = agent_and_tracer(
            [
                ("obfuscation_version", json!(version)),
                ("feature_flags", flags),
            ],
            |config| config,
        );
        for (span_type, resource) in [
            ("sql", "SELECT a FROM t WHERE b = 'secret'"),
            ("redis", "SET key secret"),
            ("web", "GET /secret"),
        ] {
            tracer.traced("work", |span| {
                span.set_type(span_type).set_resource(resource);
            });
        }
        tracer.flush(LIMIT);
        let mut resources: Vec<_> = agent
            .stats_groups()
            .into_iter()
            .map(|group| group.key.resource)
            .collect();
        resources.sort();
        let expected = if obfuscated {
            ["GET /secret", "SELECT a FROM t WHERE b = ?", "SET"]
        } else {
            [
                "GET /secret",
                "SELECT a FROM t WHERE b = 'secret'",
                "SET key secret",
            ]
        };
        assert_eq!(resources, expected);
        assert_eq!(
            agent.stats()[0].obfuscation_version,
            obfuscated.then_some(1)
        );
        let mut sent: Vec<_> = agent
            .spans()
            .into_iter()
            .map(|span| span.resource)
            .collect();
        sent.sort();
        assert_eq!(sent, expected);
    }
}
