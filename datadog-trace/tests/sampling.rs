//! Sampling, as the agent sees it.

mod common;

use std::collections::HashMap;
use std::time::Duration;
use std::{iter, thread};

use common::{LIMIT, config, named, start};
use datadog_config::{SamplingRule, SpanSamplingRule};
use datadog_local_agent::{LocalAgent, Span};

fn priority(span: &Span) -> f64 {
    span.metrics["_sampling_priority_v1"]
}

#[test]
fn the_triple_of_service_environment_and_rate_keeps_its_part() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .tracing_sampling_rules([("shop", "test", 0.2)])
            .tracing_rate_limit(1e9),
    );
    for _ in 0..2000 {
        tracer.traced("work", |_| ());
    }
    assert_eq!(
        tracer.flush(LIMIT).delivered,
        2000,
        "dropped ones are sent too"
    );
    let spans = agent.spans();
    let kept = spans.iter().filter(|span| priority(span) == 2.0).count();
    assert!((300..500).contains(&kept), "{kept} of 2000");
    for span in &spans {
        let hash = span.trace_id.wrapping_mul(1_111_111_111_111_111_111);
        let expected = hash <= (0.2 * u64::MAX as f64) as u64;
        assert_eq!(priority(span), if expected { 2.0 } else { -1.0 });
        assert_eq!(span.metrics["_dd.rule_psr"], 0.2);
        assert_eq!(span.meta["_dd.p.ksr"], "0.2");
        let maker = span.meta.get("_dd.p.dm").map(String::as_str);
        assert_eq!(maker, expected.then_some("-3"));
        let limit = span.metrics.get("_dd.limit_psr").copied();
        assert_eq!(limit, expected.then_some(1.0));
    }
}

#[test]
fn rules_see_what_is_set_after_the_start() {
    let agent = LocalAgent::start().unwrap();
    let rules = [
        SamplingRule::new(0.0).resource("GET /health*"),
        SamplingRule::new(0.0).tag("cart.items", "0"),
        SamplingRule::new(1.0).service("s*").name("web.*"),
    ];
    let tracer = start(config(&agent.url()).tracing_sampling_rules(rules));
    tracer.traced("web.health", |span| {
        span.set_resource("GET /healthz");
    });
    tracer.traced("web.empty", |span| {
        span.set_tag("cart.items", 0);
    });
    tracer.traced("web.full", |span| {
        span.set_tag("cart.items", 3);
        tracer.traced("inner", |span| {
            span.set_resource("GET /health of a child does not count");
        });
    });
    tracer.traced("other", |_| ());
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let outcome = |name| {
        let span = named(&spans, name);
        (
            priority(span),
            span.meta.get("_dd.p.dm").map(String::as_str),
        )
    };
    assert_eq!(outcome("web.health"), (-1.0, None));
    assert_eq!(outcome("web.empty"), (-1.0, None));
    assert_eq!(outcome("web.full"), (2.0, Some("-3")));
    assert_eq!(outcome("other"), (1.0, Some("-0")));
    assert!(
        !named(&spans, "inner")
            .metrics
            .contains_key("_sampling_priority_v1")
    );
}

#[test]
fn the_agents_rates_are_learned_and_then_followed() {
    let agent = LocalAgent::builder()
        .rate_by_service([("service:,env:", 1.0), ("service:shop,env:test", 0.0)])
        .start()
        .unwrap();
    let tracer = start(config(&agent.url()));
    tracer.traced("before", |_| ());
    tracer.flush(LIMIT);
    tracer.traced("after", |_| ());
    tracer.traced("elsewhere", |span| {
        span.set_service("mail");
    });
    tracer.flush(LIMIT);
    agent.set_rate_by_service([("service:,env:", 0.0), ("service:shop,env:test", 1.0)]);
    tracer.traced("unchanged until told", |_| ());
    tracer.flush(LIMIT);
    tracer.traced("changed", |_| ());
    tracer.flush(LIMIT);

    let spans = agent.spans();
    let outcome = |name| {
        let span = named(&spans, name);
        let maker = span.meta.get("_dd.p.dm").map(String::as_str);
        let rate = span.metrics.get("_dd.agent_psr").copied();
        (priority(span), maker, rate)
    };
    assert_eq!(outcome("before"), (1.0, Some("-0"), None));
    assert_eq!(outcome("after"), (0.0, None, Some(0.0)));
    assert_eq!(outcome("elsewhere"), (1.0, Some("-1"), Some(1.0)));
    assert_eq!(outcome("unchanged until told"), (0.0, None, Some(0.0)));
    assert_eq!(outcome("changed"), (1.0, Some("-1"), Some(1.0)));
    assert_eq!(named(&spans, "changed").meta["_dd.p.ksr"], "1");
    let mut requests = agent.requests();
    requests.retain(|request| request.path == "/v0.4/traces");
    let version = |at: usize| {
        requests[at]
            .header("datadog-rates-payload-version")
            .unwrap()
    };
    assert_eq!(
        version(1),
        version(2),
        "the agent was told what is known already"
    );
    assert_ne!(version(2), version(3));
}

#[test]
fn rates_grow_though_the_program_flushes_all_the_time() {
    let agent = LocalAgent::builder()
        .rate_by_service([("service:,env:", 0.25)])
        .start()
        .unwrap();
    let tracer = start(config(&agent.url()));
    let rate = || {
        agent.clear();
        tracer.traced("work", |_| ());
        tracer.flush(LIMIT);
        let spans = agent.spans();
        named(&spans, "work").metrics.get("_dd.agent_psr").copied()
    };
    assert_eq!((rate(), rate()), (None, Some(0.25)));
    // Twice at once would be too much, and the agent tells it once.
    agent.set_rate_by_service([("service:,env:", 1.0)]);
    // Half of the period of the worker, which is due no more so.
    let mut flushes = iter::repeat_with(|| {
        thread::sleep(Duration::from_millis(500));
        rate()
    });
    assert!(flushes.by_ref().take(20).any(|rate| rate == Some(1.0)));
}

#[test]
fn the_program_has_the_last_word() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_sample_rate(0.0));
    tracer.traced("kept", |_| {
        tracer.traced("child", |span| {
            span.set_tag("manual.keep", true);
        });
    });
    tracer.traced("dropped", |span| {
        span.set_tag("manual.keep", true);
        span.set_tag("manual.drop", "true");
    });
    tracer.traced("not asked", |span| {
        span.set_tag("manual.keep", false);
    });
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let kept = named(&spans, "kept");
    assert_eq!((priority(kept), &*kept.meta["_dd.p.dm"]), (2.0, "-4"));
    assert!(!kept.metrics.contains_key("_dd.rule_psr"));
    let child = named(&spans, "child");
    assert!(!child.meta.contains_key("manual.keep"));
    for name in ["dropped", "not asked"] {
        assert_eq!(priority(named(&spans, name)), -1.0, "{name}");
        assert!(!named(&spans, name).meta.contains_key("_dd.p.dm"));
    }
}

#[test]
fn the_program_may_overrule_what_others_were_told_already() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_sample_rate(1.0));
    let rates = ["_dd.rule_psr", "_dd.limit_psr", "_dd.agent_psr"];
    let trace = |name: &'static str, overrule: Option<&'static str>| {
        let mut headers = HashMap::new();
        tracer.traced(name, |span| {
            span.inject(&mut headers);
            assert_eq!(headers["x-datadog-sampling-priority"], "2");
            if let Some(key) = overrule {
                span.set_tag(key, true);
            }
            headers.clear();
            span.inject(&mut headers);
        });
        headers
    };
    let by_rule = trace("by rule", None);
    assert!(by_rule["x-datadog-tags"].contains("_dd.p.ksr=1"));
    let kept = trace("kept", Some("manual.keep"));
    assert_eq!(kept["x-datadog-sampling-priority"], "2");
    assert!(kept["x-datadog-tags"].contains("_dd.p.dm=-4"), "{kept:?}");
    let dropped = trace("dropped", Some("manual.drop"));
    assert_eq!(dropped["x-datadog-sampling-priority"], "-1");
    for headers in [kept, dropped] {
        assert!(!headers["x-datadog-tags"].contains("ksr"), "{headers:?}");
    }
    // What the caller told of its rate is as old.
    let upstream = HashMap::from([
        ("x-datadog-trace-id".to_owned(), "7".to_owned()),
        ("x-datadog-parent-id".to_owned(), "8".to_owned()),
        ("x-datadog-sampling-priority".to_owned(), "1".to_owned()),
        (
            "x-datadog-tags".to_owned(),
            "_dd.p.dm=-1,_dd.p.ksr=0.25".to_owned(),
        ),
    ]);
    let caller = tracer.extract(&upstream).unwrap();
    tracer
        .trace_from(&caller, "kept here")
        .set_tag("manual.keep", true);
    tracer.flush(LIMIT);
    let spans = agent.spans();
    assert_eq!(named(&spans, "by rule").metrics["_dd.rule_psr"], 1.0);
    for name in ["kept", "dropped", "kept here"] {
        let span = named(&spans, name);
        assert!(!span.meta.contains_key("_dd.p.ksr"), "{name}");
        for rate in rates {
            assert!(!span.metrics.contains_key(rate), "{name}: {rate}");
        }
    }
    assert_eq!(named(&spans, "kept here").meta["_dd.p.dm"], "-4");
}

#[test]
fn the_limit_holds_for_a_burst() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .tracing_sample_rate(1.0)
            .tracing_rate_limit(5.0),
    );
    for _ in 0..50 {
        tracer.traced("burst", |_| ());
    }
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let kept = spans.iter().filter(|span| priority(span) > 0.0).count();
    // One more for each fifth of a second that the loop took.
    assert!((5..10).contains(&kept), "{kept}");
    assert!(
        spans
            .iter()
            .all(|span| span.metrics.contains_key("_dd.limit_psr"))
    );
    assert!(spans.iter().any(|span| span.metrics["_dd.limit_psr"] < 1.0));
}

#[test]
fn single_spans_are_kept_of_traces_that_are_not() {
    let agent = LocalAgent::start().unwrap();
    let rules = [
        SpanSamplingRule::new(1.0).name("payment.*"),
        SpanSamplingRule::new(1.0).service("db").max_per_second(1.0),
    ];
    let tracer = start(
        config(&agent.url())
            .tracing_sample_rate(0.0)
            .span_sampling_rules(rules),
    );
    tracer.traced("request", |_| {
        tracer.traced("payment.charge", |_| ());
        for name in ["query.first", "query.second"] {
            tracer.traced(name, |span| {
                span.set_service("db");
            });
        }
    });
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let marks = |name| {
        let metrics = &named(&spans, name).metrics;
        ["mechanism", "rule_rate", "max_per_second"]
            .map(|key| metrics.get(&format!("_dd.span_sampling.{key}")).copied())
    };
    assert_eq!(priority(named(&spans, "request")), -1.0);
    assert_eq!(marks("request"), [None; 3]);
    assert_eq!(marks("payment.charge"), [Some(8.0), Some(1.0), None]);
    assert_eq!(marks("query.first"), [Some(8.0), Some(1.0), Some(1.0)]);
    assert_eq!(marks("query.second"), [None; 3]);
}

#[test]
fn single_spans_are_told_apart_by_resource_and_tags_too() {
    let agent = LocalAgent::start().unwrap();
    let rules = [
        SpanSamplingRule::new(1.0).resource("POST /pay*"),
        SpanSamplingRule::new(1.0)
            .tag("tenant", "gold")
            .tag("retries", "3")
            .tag("team", "check*"),
    ];
    let tracer = start(
        config(&agent.url())
            .tracing_sample_rate(0.0)
            .span_sampling_rules(rules),
    );
    tracer.traced("request", |_| {
        for (name, resource, tenant) in [
            ("by resource", "POST /payments", "silver"),
            ("by tags", "GET /", "Gold"),
            ("neither", "GET /payments", "silver"),
        ] {
            tracer.traced(name, |span| {
                span.set_resource(resource);
                span.set_tag("tenant", tenant).set_tag("retries", 3);
            });
        }
    });
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let alone = spans
        .iter()
        .filter(|span| span.metrics.contains_key("_dd.span_sampling.mechanism"));
    let mut names: Vec<_> = alone.map(|span| &*span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["by resource", "by tags"]);
}
