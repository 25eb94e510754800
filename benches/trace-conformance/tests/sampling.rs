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

/// The environment of the tracer.
const ENV: &str = "b";

/// Of tags that spans have, and rules ask for.
const KEYS: [&str; 2] = ["zone", "tier"];

#[derive(Clone, Debug)]
struct Rule {
    rate: f64,
    service: Option<String>,
    name: Option<String>,
    resource: Option<String>,
    tags: HashMap<String, String>,
    provenance: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Root {
    trace_id: u128,
    service: String,
    name: String,
    resource: String,
    /// If it is another one than that of the tracer.
    env: Option<String>,
    tags: Vec<Attribute>,
}

#[derive(Clone, Debug)]
struct Attribute(&'static str, Value);

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Number(f64),
}

/// All that a decision depends on, but for the trace.
#[derive(Clone, Debug)]
struct Setup {
    rules: Vec<Rule>,
    /// Whether the limit lets everything through, or nothing.
    allows: bool,
    /// What the agent told: by service and environment.
    rates: Option<HashMap<(String, String), f64>>,
}

fn word() -> impl Strategy<Value = String> {
    "[abAB.]{1,3}"
}

fn pattern() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.4, "[abAB.*?]{1,4}")
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..1.0f64]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-20..300i32).prop_map(f64::from),
        (-2.0..2.0f64),
        Just(0.5),
        Just(1e17)
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let tag = prop_oneof!["[abAB.*?]{1,4}", "[0-9*?.-]{1,4}", Just("*".to_owned())];
    let tags = proptest::collection::hash_map(key().prop_map(str::to_owned), tag, 0..3);
    const NAMES: [&str; 4] = ["customer", "dynamic", "default", "other"];
    let provenance = proptest::option::of(proptest::sample::select(&NAMES[..]));
    (rate(), [pattern(), pattern(), pattern()], tags, provenance).prop_map(
        |(rate, [service, name, resource], tags, provenance)| Rule {
            rate,
            service,
            name,
            resource,
            tags,
            provenance,
        },
    )
}

fn key() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&KEYS[..])
}

fn root() -> impl Strategy<Value = Root> {
    let id = prop_oneof![1..u128::MAX, (1..1000u128), Just(u128::from(u64::MAX))];
    let value = prop_oneof![
        word().prop_map(Value::Text),
        "[0-9.]{1,3}".prop_map(Value::Text),
        number().prop_map(Value::Number),
    ];
    let tags = proptest::collection::hash_map(key(), value, 0..3);
    let env = proptest::option::of("[ab]");
    (id, word(), word(), word(), env, tags).prop_map(
        |(trace_id, service, name, resource, env, tags)| Root {
            // An id whose lower half is zero is none.
            trace_id: trace_id | 1,
            service,
            name,
            resource,
            env,
            tags: tags
                .into_iter()
                .map(|(key, value)| Attribute(key, value))
                .collect(),
        },
    )
}

/// With few services, so that the agent has rates for many of the traces.
fn of_few_services(mut root: Root) -> Root {
    root.service.truncate(1);
    root
}

fn rates() -> impl Strategy<Value = HashMap<(String, String), f64>> {
    proptest::collection::hash_map(("[abAB.]?", "[ab]?"), rate(), 0..8)
}

/// What is decided of a trace.
#[derive(Debug, PartialEq)]
struct Outcome {
    priority: i64,
    maker: Option<String>,
    rule_rate: Option<f64>,
    limit_rate: Option<f64>,
    agent_rate: Option<f64>,
    rate_text: Option<String>,
    /// OpenTelemetry's `rv` and `th`, as numbers.
    otel: Option<(u64, u64)>,
}

fn ours(setup: &Setup, roots: &[Root]) -> Vec<Outcome> {
    let agent = LocalAgent::start().unwrap();
    let rules: Vec<_> = setup.rules.iter().map(Rule::json).collect();
    let rules = serde_json::Value::Array(rules).to_string();
    let limit = if setup.allows { "1000000000" } else { "0" };
    let variables = [
        ("DD_TRACE_SAMPLING_RULES", rules.as_str()),
        ("DD_TRACE_RATE_LIMIT", limit),
    ];
    let builder = DDConfig::builder().environment(variables);
    let config = builder
        .agent_url(agent.url())
        .service("own")
        .env(ENV)
        .build()
        .unwrap();
    assert!(config.problems().is_empty(), "{:?}", config.problems());
    let tracer = Tracer::start(&config).unwrap();
    agent.set_rate_by_service(setup.rates.iter().flatten().map(|((service, env), rate)| {
        let key = format!("service:{service},env:{env}");
        (key, *rate)
    }));
    if setup.rates.is_some() {
        // The answer tells the rates.
        tracer.trace("first").finish();
        assert_eq!(tracer.flush(LIMIT).delivered, 1);
        agent.clear();
    }
    let otel: Vec<_> = roots.iter().map(|root| make(&tracer, root)).collect();
    let sent = tracer.flush(LIMIT).delivered;
    assert_eq!(sent, roots.len() as u64, "{:?}", agent.refusals());
    let outcome = |(span, otel): (datadog_local_agent::Span, _)| Outcome {
        priority: span.metrics["_sampling_priority_v1"] as i64,
        maker: span.meta.get("_dd.p.dm").cloned(),
        rule_rate: span.metrics.get("_dd.rule_psr").copied(),
        limit_rate: span.metrics.get("_dd.limit_psr").copied(),
        agent_rate: span.metrics.get("_dd.agent_psr").copied(),
        rate_text: span.meta.get("_dd.p.ksr").cloned(),
        otel,
    };
    agent.spans().into_iter().zip(otel).map(outcome).collect()
}

/// Makes the span, and returns what its request would tell samplers of OpenTelemetry.
fn make(tracer: &Tracer, root: &Root) -> Option<(u64, u64)> {
    let upstream = SpanContext::from_ids(root.trace_id, 1, None);
    let mut span = tracer.trace_from(&upstream, root.name.clone());
    span.set_service(&root.service)
        .set_resource(root.resource.clone());
    if let Some(env) = &root.env {
        span.set_tag("env", env);
    }
    for Attribute(key, value) in &root.tags {
        match value {
            Value::Text(text) => span.set_tag(*key, text),
            Value::Number(number) => span.set_tag(*key, *number),
        };
    }
    let mut headers = HashMap::<String, String>::new();
    span.inject(&mut headers);
    let mut members = headers["tracestate"].split(',');
    let member = members.find_map(|member| member.strip_prefix("ot="))?;
    let (randomness, threshold) = member.strip_prefix("rv:")?.split_once(";th:")?;
    let number = |text: &str| u64::from_str_radix(&format!("{text:0<14}"), 16).unwrap();
    Some((number(randomness), number(threshold)))
}

fn theirs(setup: &Setup, roots: &[Root]) -> Vec<Outcome> {
    let rule = |rule: &Rule| {
        SamplingRule::new(
            rule.rate,
            rule.service.clone(),
            rule.name.clone(),
            rule.resource.clone(),
            Some(rule.tags.clone()),
            rule.provenance.map(str::to_owned),
        )
    };
    let rules = setup.rules.iter().map(rule).collect();
    let sampler = DatadogSampler::new(rules, if setup.allows { -1 } else { 0 });
    if let Some(rates) = &setup.rates {
        // They don't know the agent's rate for all others.
        let others = rates.get(&Default::default()).copied().unwrap_or(1.0);
        let keys = roots
            .iter()
            .map(|root| (root.service.clone(), root.env().into_owned()));
        let rate = |key| *rates.get(&key).unwrap_or(&others);
        let told: serde_json::Map<_, _> = keys
            .map(|(service, env)| {
                let key = format!("service:{service},env:{env}");
                (key, rate((service, env)).into())
            })
            .collect();
        let answer = serde_json::json!({"rate_by_service": told}).to_string();
        sampler.on_agent_response()(&answer);
    }
    roots
        .iter()
        .map(|root| outcome_of_theirs(&sampler, root))
        .collect()
}

fn outcome_of_theirs(sampler: &DatadogSampler, root: &Root) -> Outcome {
    let result = sampler.sample(root);
    let otel = result.get_trace_root_sampling_info().as_ref();
    let otel = otel.and_then(|root_info| root_info.otel_consistent_sampling(&root.trace_id));
    let tags = result.to_dd_sampling_tags(&Tags).unwrap();
    let text = |key| {
        tags.iter().find_map(|Attribute(known, value)| match value {
            Value::Text(text) if *known == key => Some(text.clone()),
            _ => None,
        })
    };
    let number = |key| {
        tags.iter().find_map(|Attribute(known, value)| match value {
            Value::Number(number) if *known == key => Some(*number),
            _ => None,
        })
    };
    let decided = number("_dd.rule_psr").or_else(|| number("_dd.agent_psr"));
    let priority = i64::from(result.get_priority().into_i8());
    Outcome {
        priority,
        // They tell a maker of traces that are dropped too.
        maker: text("_dd.p.dm").filter(|_| priority > 0),
        rule_rate: number("_dd.rule_psr"),
        limit_rate: number("_dd.limit_psr"),
        agent_rate: number("_dd.agent_psr"),
        rate_text: text("_dd.p.ksr"),
        // They tell of a rate of 1 that nobody asked for, and of a rate of 0, which has no threshold.
        otel: otel
            .filter(|_| decided.is_some_and(|rate| rate > 0.0))
            .map(|otel| (otel.rv, otel.th)),
    }
}

fn assert_same_outcomes(setup: &Setup, roots: &[Root]) -> Result<(), TestCaseError> {
    let (ours, theirs) = (ours(setup, roots), theirs(setup, roots));
    for ((root, ours), theirs) in roots.iter().zip(ours).zip(theirs) {
        prop_assert_eq!(ours, theirs, "{:?}", root);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rules_decide_as_in_libdatadog(
        rules in proptest::collection::vec(rule(), 0..4),
        allows in proptest::bool::weighted(0.8),
        roots in proptest::collection::vec(root(), 1..100),
    ) {
        assert_same_outcomes(&Setup { rules, allows, rates: None }, &roots)?;
    }

    #[test]
    fn rates_of_the_agent_decide_as_in_libdatadog(
        rules in proptest::collection::vec(rule(), 0..2),
        rates in rates(),
        roots in proptest::collection::vec(root().prop_map(of_few_services), 1..100),
    ) {
        assert_same_outcomes(&Setup { rules, allows: true, rates: Some(rates) }, &roots)?;
    }
}

impl Rule {
    fn json(&self) -> serde_json::Value {
        let mut rule = serde_json::json!({"sample_rate": self.rate});
        let patterns = [
            ("service", &self.service),
            ("name", &self.name),
            ("resource", &self.resource),
        ];
        for (key, pattern) in patterns {
            if let Some(pattern) = pattern {
                rule[key] = pattern.as_str().into();
            }
        }
        if !self.tags.is_empty() {
            rule["tags"] = serde_json::json!(self.tags);
        }
        if let Some(provenance) = self.provenance {
            rule["provenance"] = provenance.into();
        }
        rule
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
    type Attribute<'a> = &'a Attribute;

    fn operation_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn service(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.service)
    }

    fn env(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.env.as_deref().unwrap_or(ENV))
    }

    fn resource(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.resource)
    }

    fn status_code(&self) -> Option<u32> {
        None
    }

    fn attributes(&self) -> impl Iterator<Item = &Attribute> + '_ {
        self.tags.iter()
    }

    fn get_alternate_key<'b>(&self, _key: &'b str) -> Option<Cow<'b, str>> {
        None
    }
}

impl AttributeLike for Attribute {
    type Value = Value;

    fn key(&self) -> &str {
        self.0
    }

    fn value(&self) -> &Value {
        &self.1
    }
}

impl ValueLike for Value {
    fn as_float(&self) -> Option<f64> {
        match self {
            Self::Text(_) => None,
            Self::Number(number) => Some(*number),
        }
    }

    fn as_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(_) => None,
        }
    }
}

struct Tags;

impl AttributeFactory for Tags {
    type Attribute = Attribute;

    fn create_i64(&self, key: &'static str, value: i64) -> Self::Attribute {
        Attribute(key, Value::Number(value as f64))
    }

    fn create_f64(&self, key: &'static str, value: f64) -> Self::Attribute {
        Attribute(key, Value::Number(value))
    }

    fn create_string(&self, key: &'static str, value: Cow<'static, str>) -> Self::Attribute {
        Attribute(key, Value::Text(value.into_owned()))
    }
}
