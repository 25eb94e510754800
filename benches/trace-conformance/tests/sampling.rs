//! Traces are kept or not as `libdd-sampling` says.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_trace::{SpanContext, Tracer};
use libdd_sampling::{
    AttributeFactory, AttributeLike, DatadogSampler, SamplingData, SamplingRule, SpanProperties,
    ValueLike,
};
use proptest::prelude::*;

const LIMIT: Duration = Duration::from_secs(20);

/// A rule: its rate, patterns for the service, the name, the resource, and the tag `zone`, and where it comes from.
type Rule = (f64, [Option<String>; 4], Option<&'static str>);

#[derive(Clone, Debug)]
struct Root {
    trace_id: u128,
    service: String,
    name: String,
    resource: String,
    zone: Option<String>,
}

fn word() -> impl Strategy<Value = String> {
    "[abAB.]{1,3}"
}

fn pattern() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.4, "[abAB.*?]{1,4}")
}

fn rule() -> impl Strategy<Value = Rule> {
    let rate = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64];
    let patterns = [pattern(), pattern(), pattern(), pattern()];
    const NAMES: [&str; 4] = ["customer", "dynamic", "default", "other"];
    let provenance = proptest::option::of(proptest::sample::select(&NAMES[..]));
    (rate, patterns, provenance)
}

fn root() -> impl Strategy<Value = Root> {
    let id = prop_oneof![1..u128::MAX, (1..1000u128), Just(u128::from(u64::MAX))];
    (id, word(), word(), word(), proptest::option::of(word())).prop_map(
        |(trace_id, service, name, resource, zone)| Root {
            // An id whose lower half is zero is none.
            trace_id: trace_id | 1,
            service,
            name,
            resource,
            zone,
        },
    )
}

/// What is decided of a trace: priority, maker, and rates.
type Outcome = (i64, Option<String>, Option<f64>, Option<String>);

fn ours(rules: &[Rule], roots: &[Root]) -> Vec<Outcome> {
    let agent = LocalAgent::start().unwrap();
    let rules: Vec<_> = rules
        .iter()
        .map(|(rate, [service, name, resource, zone], provenance)| {
            let mut rule = serde_json::json!({"sample_rate": rate});
            let patterns = [("service", service), ("name", name), ("resource", resource)];
            for (key, pattern) in patterns {
                if let Some(pattern) = pattern {
                    rule[key] = pattern.as_str().into();
                }
            }
            if let Some(zone) = zone {
                rule["tags"] = serde_json::json!({"zone": zone});
            }
            if let Some(provenance) = provenance {
                rule["provenance"] = (*provenance).into();
            }
            rule
        })
        .collect();
    let rules = serde_json::Value::Array(rules).to_string();
    let variables = [
        ("DD_TRACE_SAMPLING_RULES", rules.as_str()),
        ("DD_TRACE_RATE_LIMIT", "1000000000"),
    ];
    let builder = DDConfig::builder().environment(variables);
    let config = builder
        .agent_url(agent.url())
        .service("own")
        .build()
        .unwrap();
    assert!(config.problems().is_empty(), "{:?}", config.problems());
    let tracer = Tracer::start(&config).unwrap();
    for root in roots {
        let upstream = SpanContext::from_ids(root.trace_id, 1, None);
        let mut span = tracer.trace_from(&upstream, root.name.clone());
        span.set_service(&root.service)
            .set_resource(root.resource.clone());
        if let Some(zone) = &root.zone {
            span.set_tag("zone", zone);
        }
    }
    let sent = tracer.flush(LIMIT).delivered;
    assert_eq!(sent, roots.len() as u64, "{:?}", agent.refusals());
    let outcome = |span: datadog_local_agent::Span| {
        (
            span.metrics["_sampling_priority_v1"] as i64,
            span.meta.get("_dd.p.dm").cloned(),
            span.metrics.get("_dd.rule_psr").copied(),
            span.meta.get("_dd.p.ksr").cloned(),
        )
    };
    agent.spans().into_iter().map(outcome).collect()
}

fn theirs(rules: &[Rule], roots: &[Root]) -> Vec<Outcome> {
    let rule = |(rate, [service, name, resource, zone], provenance): &Rule| {
        let tags = zone
            .clone()
            .map(|zone| HashMap::from([("zone".to_owned(), zone)]));
        SamplingRule::new(
            *rate,
            service.clone(),
            name.clone(),
            resource.clone(),
            tags,
            provenance.map(str::to_owned),
        )
    };
    let sampler = DatadogSampler::new(rules.iter().map(rule).collect(), -1);
    let outcome = |root: &Root| {
        let result = sampler.sample(root);
        let mut outcome = (i64::from(result.get_priority().into_i8()), None, None, None);
        for (key, value) in result.to_dd_sampling_tags(&Tags).into_iter().flatten() {
            match (key, value) {
                ("_dd.p.dm", Tag::Text(text)) => outcome.1 = Some(text),
                ("_dd.rule_psr", Tag::Number(number)) => outcome.2 = Some(number),
                ("_dd.p.ksr", Tag::Text(text)) => outcome.3 = Some(text),
                _ => {}
            }
        }
        outcome
    };
    roots.iter().map(outcome).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rules_decide_as_in_libdatadog(
        rules in proptest::collection::vec(rule(), 0..4),
        roots in proptest::collection::vec(root(), 1..100),
    ) {
        let (ours, theirs) = (ours(&rules, &roots), theirs(&rules, &roots));
        for ((root, ours), theirs) in roots.iter().zip(ours).zip(theirs) {
            // Without a rule they tell a rate of 1 that nobody asked for, and for a trace that is dropped a maker.
            let decided = ours.0 > 0;
            let rule_decided = ours.2.is_some();
            prop_assert_eq!(ours.0, theirs.0, "{:?}", root);
            prop_assert_eq!(ours.2, theirs.2.filter(|_| rule_decided), "{:?}", root);
            if decided {
                prop_assert_eq!(&ours.1, &theirs.1, "{:?}", root);
            }
            if rule_decided {
                prop_assert_eq!(&ours.3, &theirs.3, "{:?}", root);
            }
        }
    }
}

impl SamplingData for Root {
    type TraceId = u128;
    type Properties<'a> = Self;

    fn is_parent_sampled(&self) -> Option<bool> {
        None
    }

    fn trace_id(&self) -> &u128 {
        &self.trace_id
    }

    fn with_span_properties<S, T, F>(&self, sampler: &S, decide: F) -> T
    where
        F: Fn(&S, &Self) -> T,
    {
        decide(sampler, self)
    }
}

impl SpanProperties for Root {
    type Attribute<'a> = Zone<'a>;

    fn operation_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn service(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.service)
    }

    fn env(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn resource(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.resource)
    }

    fn status_code(&self) -> Option<u32> {
        None
    }

    fn attributes(&self) -> impl Iterator<Item = Zone<'_>> + '_ {
        self.zone.iter().map(|zone| Zone(zone))
    }

    fn get_alternate_key<'b>(&self, _key: &'b str) -> Option<Cow<'b, str>> {
        None
    }
}

struct Zone<'a>(&'a str);

impl<'a> AttributeLike for Zone<'a> {
    type Value = Self;

    fn key(&self) -> &str {
        "zone"
    }

    fn value(&self) -> &Self {
        self
    }
}

impl ValueLike for Zone<'_> {
    fn as_float(&self) -> Option<f64> {
        None
    }

    fn as_str(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.0))
    }
}

enum Tag {
    Text(String),
    Number(f64),
}

struct Tags;

impl AttributeFactory for Tags {
    type Attribute = (&'static str, Tag);

    fn create_i64(&self, key: &'static str, value: i64) -> Self::Attribute {
        (key, Tag::Number(value as f64))
    }

    fn create_f64(&self, key: &'static str, value: f64) -> Self::Attribute {
        (key, Tag::Number(value))
    }

    fn create_string(&self, key: &'static str, value: Cow<'static, str>) -> Self::Attribute {
        (key, Tag::Text(value.into_owned()))
    }
}
