//! Which traces are kept, and which single spans of those that are not.

mod knuth;
mod limiter;
pub(crate) mod otel;
mod rates;
mod rule;
mod single;

use std::borrow::Cow;
use std::time::Instant;

use datadog_config::{DDConfig, Glob, Provenance, SamplingRule};
use datadog_transport::Birthplace;
use parking_lot::Mutex;

pub(crate) use rates::AgentRates;

use crate::TagValue;
use crate::batch::Batch;
use crate::service::Services;
use crate::span_data::SpanData;
use knuth::format_rate;
use limiter::Limiter;
use single::SingleSpans;

/// Sampling priorities (dd-trace-go: `ddtrace/ext/priority.go`).
pub(crate) const USER_REJECT: i32 = -1;
const AUTO_REJECT: i32 = 0;
const AUTO_KEEP: i32 = 1;
pub(crate) const USER_KEEP: i32 = 2;

/// Who decided: the values of `_dd.p.dm` (dd-trace-go: `internal/samplernames/samplernames.go`).
const BY_DEFAULT: &str = "-0";
const BY_AGENT_RATE: &str = "-1";
const BY_RULE: &str = "-3";
const BY_USER: &str = "-4";
const BY_REMOTE_RULE: &str = "-11";
const BY_DYNAMIC_RULE: &str = "-12";

/// What is decided about a trace, and what the decision rests on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decision {
    /// `None` while nothing is decided. Above 0 means kept.
    pub(crate) priority: Option<i32>,
    /// The value of `_dd.p.dm`.
    pub(crate) maker: Option<Cow<'static, str>>,
    /// The value of `_dd.rule_psr`.
    pub(crate) rule_rate: Option<f64>,
    /// The value of `_dd.limit_psr`.
    pub(crate) limit_rate: Option<f64>,
    /// The value of `_dd.agent_psr`.
    pub(crate) agent_rate: Option<f64>,
    /// The rate of the rule or the agent, as `_dd.p.ksr` has it.
    pub(crate) rate_text: Option<Cow<'static, str>>,
    /// The rate, if nothing but it decided.
    pub(crate) probability: Option<f64>,
}

/// Decides about traces, once each, by the first span of the trace in this process.
#[derive(Debug)]
pub(crate) struct Sampler {
    services: Services,
    /// Tags that every span has without being told, with `env`.
    span_tags: Vec<(String, String)>,
    rules: Vec<SamplingRule>,
    /// For traces that no rule fits; above the agent's rates.
    rate: Option<f64>,
    limiter: Mutex<Limiter>,
    agent_rates: AgentRates,
    single_spans: SingleSpans,
    /// In a forked child, another thread may have held a lock for ever. Nothing is sent from there.
    birthplace: Birthplace,
}

impl Decision {
    /// Keeps or drops the trace because the program says so. Rates of an earlier decision say nothing about this one
    /// (dd-trace-py: `ddtrace/_trace/span.py`, _override_sampling_decision).
    pub(crate) fn by_user(&mut self, priority: i32) {
        *self = Self {
            priority: Some(priority),
            maker: (priority > 0).then_some(Cow::Borrowed(BY_USER)),
            ..Self::default()
        };
    }

    /// Whether the decision has a say about a tag that came from upstream.
    pub(crate) fn replaces(&self, key: &str) -> bool {
        match key {
            "_dd.p.dm" => self.maker.is_some() || !self.is_kept(),
            "_dd.p.ksr" => self.rate_text.is_some() || self.maker.is_some(),
            _ => false,
        }
    }

    /// Whether the program decided what had been decided upstream.
    pub(crate) fn overrules(&self, upstream: Option<i32>) -> bool {
        let differs = match upstream {
            Some(priority) => self.priority != Some(priority),
            // Where nothing had been decided, a rate may have done so here.
            None => !self.is_kept() && self.probability.is_none(),
        };
        differs || self.maker.as_deref() == Some(BY_USER)
    }

    /// The tags `_dd.p.*` that tell of the decision.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let maker = self.maker.as_deref().filter(|_| self.is_kept());
        let maker = maker.map(|maker| ("_dd.p.dm", maker));
        let rate = self.rate_text.as_deref().map(|rate| ("_dd.p.ksr", rate));
        maker.into_iter().chain(rate)
    }

    /// Whether the trace is kept, or may be: what is not decided yet is not dropped.
    pub(crate) fn is_kept(&self) -> bool {
        self.priority.is_none_or(|priority| priority > 0)
    }
}

impl Sampler {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            services: Services::new(config),
            span_tags: crate::tracer::span_tags(config),
            rules: config.tracing_sampling_rules().to_vec(),
            rate: config.tracing_sample_rate(),
            limiter: Mutex::new(Limiter::new(config.tracing_rate_limit())),
            agent_rates: AgentRates::default(),
            single_spans: SingleSpans::new(config.span_sampling_rules()),
            birthplace: Birthplace::here(),
        }
    }

    /// The names of services.
    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    /// The rates that the agent tells.
    pub(crate) fn agent_rates(&self) -> &AgentRates {
        &self.agent_rates
    }

    /// Decides, unless something is decided already.
    #[inline]
    pub(crate) fn decide(&self, decision: &mut Decision, root: &SpanData) {
        if decision.priority.is_none() {
            self.decide_now(decision, root);
        }
    }

    #[inline(never)]
    fn decide_now(&self, decision: &mut Decision, root: &SpanData) {
        if !self.birthplace.is_here() {
            decision.priority = Some(AUTO_KEEP);
            decision.maker = Some(Cow::Borrowed(BY_DEFAULT));
            return;
        }
        let rule = self.rules.iter().find(|rule| {
            let tag = |key: &str| rule::tag_of(root, key);
            rule::fits(rule, root, self.service_of(root)) && self.tags_fit(&rule.tags, tag)
        });
        let maker = match rule.map(|rule| rule.provenance) {
            Some(Provenance::Customer) => BY_REMOTE_RULE,
            Some(Provenance::Dynamic) => BY_DYNAMIC_RULE,
            _ => BY_RULE,
        };
        match rule.map(|rule| rule.sample_rate).or(self.rate) {
            Some(rate) => self.by_rule(decision, root, rate, maker),
            None => self.by_agent(decision, root),
        }
        let rate = decision.rule_rate.or(decision.agent_rate);
        decision.rate_text = rate.map(format_rate);
    }

    /// Marks the spans that single-span rules keep although their trace is not.
    pub(crate) fn mark_single_spans(&self, decision: &Decision, spans: &mut Batch) {
        let is_alone = !decision.is_kept() && !self.single_spans.is_empty();
        if is_alone && self.birthplace.is_here() {
            spans.keep_alone(|span| {
                let service = self.services.sent(span.service());
                let tags_fit =
                    |tags: &[_]| self.tags_fit(tags, |key| rule::tag_of_finished(span, key));
                self.single_spans.keeps(span, service, tags_fit)
            });
        }
    }

    /// Rules decide for the user, hence the user's priorities.
    fn by_rule(&self, decision: &mut Decision, root: &SpanData, rate: f64, maker: &'static str) {
        decision.rule_rate = Some(rate);
        let mut kept = knuth::keeps(root.trace_id as u64, rate);
        if kept {
            let (allowed, effective) = self.limiter.lock().allow(Instant::now());
            decision.limit_rate = Some(effective);
            decision.probability = Some(rate).filter(|_| allowed);
            kept = allowed;
        } else {
            decision.probability = Some(rate);
        }
        decision.priority = Some(if kept { USER_KEEP } else { USER_REJECT });
        decision.maker = kept.then_some(Cow::Borrowed(maker));
    }

    fn by_agent(&self, decision: &mut Decision, root: &SpanData) {
        let env = root.tags.text("env").or_else(|| self.span_tag("env"));
        let rate = self
            .agent_rates
            .rate(self.service_of(root), env.unwrap_or_default());
        decision.agent_rate = rate;
        decision.probability = rate;
        let kept = knuth::keeps(root.trace_id as u64, rate.unwrap_or(1.0));
        decision.priority = Some(if kept { AUTO_KEEP } else { AUTO_REJECT });
        let maker = if rate.is_some() {
            BY_AGENT_RATE
        } else {
            BY_DEFAULT
        };
        decision.maker = kept.then_some(Cow::Borrowed(maker));
    }

    /// Whether a span has all these tags, which `tag_of` gives, or has them without being told.
    fn tags_fit<'a>(
        &'a self,
        tags: &[(String, Glob)],
        tag_of: impl Fn(&str) -> Option<TagValue<'a>>,
    ) -> bool {
        tags.iter().all(|(key, pattern)| {
            let value = tag_of(key).or_else(|| Some(self.span_tag(key)?.into()));
            value.is_some_and(|value| rule::tag_fits(pattern, &value))
        })
    }

    fn service_of<'a>(&'a self, span: &'a SpanData) -> &'a str {
        self.services.sent(span.service.as_deref())
    }

    fn span_tag(&self, key: &str) -> Option<&str> {
        let (_, value) = self.span_tags.iter().find(|(known, _)| known == key)?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use datadog_config::SpanSamplingRule;

    use super::*;
    use crate::ticks::Ticks;

    fn sampler(
        configure: impl FnOnce(datadog_config::DDConfigBuilder) -> datadog_config::DDConfigBuilder,
    ) -> Sampler {
        let builder = DDConfig::builder()
            .environment([("", "")])
            .service("web")
            .env("prod")
            .tags([("team", "cart")]);
        Sampler::new(&configure(builder).build().unwrap())
    }

    /// A root whose trace id hashes to a low value (kept by a rate of 1/16) or to a high one.
    fn root(low: bool) -> SpanData {
        let id = (1u64..)
            .find(|id| {
                let hash = id.wrapping_mul(knuth::FACTOR);
                if low {
                    hash < 1 << 60
                } else {
                    hash > u64::MAX - (1 << 60)
                }
            })
            .unwrap();
        SpanData {
            trace_id: id.into(),
            name: "web.request".into(),
            ..SpanData::default()
        }
    }

    fn decide(sampler: &Sampler, root: &SpanData) -> Decision {
        let mut decision = Decision::default();
        sampler.decide(&mut decision, root);
        decision
    }

    #[test]
    fn without_rules_and_agent_everything_is_kept() {
        let decision = decide(&sampler(|config| config), &root(false));
        assert_eq!(
            (decision.priority, decision.maker.as_deref()),
            (Some(AUTO_KEEP), Some("-0"))
        );
        assert_eq!((decision.agent_rate, decision.rule_rate), (None, None));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let sampler = sampler(|config| {
            config.tracing_sampling_rules([
                SamplingRule::new(0.0).resource("GET /health*"),
                SamplingRule::new(0.0).tag("retry", "1"),
                SamplingRule::new(0.5)
                    .service("w?b")
                    .name("WEB.*")
                    .tag("team", "c*"),
            ])
        });
        let mut span = root(true);
        let decision = decide(&sampler, &span);
        assert_eq!(
            (
                decision.priority,
                decision.maker.as_deref(),
                decision.rule_rate
            ),
            (Some(USER_KEEP), Some("-3"), Some(0.5))
        );
        assert_eq!(decision.limit_rate, Some(1.0));
        assert_eq!(decide(&sampler, &root(false)).priority, Some(USER_REJECT));
        span.tags.set_number("retry".into(), 1.0);
        assert_eq!(decide(&sampler, &span).priority, Some(USER_REJECT));
        span.tags.clear();
        span.resource = Some("GET /healthz".into());
        let decision = decide(&sampler, &span);
        assert_eq!(
            (decision.priority, decision.maker, decision.limit_rate),
            (Some(USER_REJECT), None, None)
        );
        span.resource = None;
        span.service = Some("other".into());
        assert_eq!(decide(&sampler, &span).maker.as_deref(), Some("-0"));
    }

    #[test]
    fn traces_tell_where_the_rule_that_keeps_them_comes_from() {
        let rules = r#"[{"sample_rate":1,"name":"a","provenance":"customer"},
            {"sample_rate":1,"name":"b","provenance":"dynamic"},{"sample_rate":1,"provenance":"x"}]"#;
        let config = DDConfig::builder().environment([("DD_TRACE_SAMPLING_RULES", rules)]);
        let sampler = Sampler::new(&config.build().unwrap());
        for (name, maker) in [("a", "-11"), ("b", "-12"), ("c", "-3")] {
            let mut span = root(true);
            span.name = name.into();
            let decision = decide(&sampler, &span);
            assert_eq!(decision.maker.as_deref(), Some(maker));
            assert_eq!(decision.priority, Some(USER_KEEP));
        }
    }

    #[test]
    fn triples_of_service_environment_and_rate_are_rules() {
        let sampler = sampler(|config| {
            config.tracing_sampling_rules([("web", "stage", 1.0), ("web", "prod", 0.0)])
        });
        assert_eq!(decide(&sampler, &root(true)).priority, Some(USER_REJECT));
        let mut elsewhere = root(true);
        elsewhere.tags.set_text("env".into(), "stage");
        assert_eq!(decide(&sampler, &elsewhere).priority, Some(USER_KEEP));
    }

    #[test]
    fn agent_rates_decide_where_the_user_does_not() {
        let sampler = sampler(|config| config);
        let rates = br#"{"rate_by_service": {"service:,env:": 1, "service:web,env:prod": 0.25, "service:web,env:x": 0}}"#;
        sampler.agent_rates().learn(rates, None, Instant::now());
        let kept = decide(&sampler, &root(true));
        assert_eq!(
            (kept.priority, kept.maker.as_deref(), kept.agent_rate),
            (Some(AUTO_KEEP), Some("-1"), Some(0.25))
        );
        let dropped = decide(&sampler, &root(false));
        assert_eq!((dropped.priority, dropped.maker), (Some(AUTO_REJECT), None));
        let mut elsewhere = root(true);
        elsewhere.tags.set_text("env".into(), "x");
        assert_eq!(decide(&sampler, &elsewhere).priority, Some(AUTO_REJECT));
    }

    #[test]
    fn services_have_the_names_that_they_are_sent_by() {
        let mapping = [("web", "store"), ("db", "cellar")];
        let by_agent = sampler(|config| config.service_mapping(mapping));
        let rates =
            br#"{"rate_by_service": {"service:store,env:prod": 0, "service:cellar,env:prod": 0}}"#;
        by_agent.agent_rates().learn(rates, None, Instant::now());
        let by_rule = sampler(|config| {
            let rules = ["store", "cellar"].map(|name| SamplingRule::new(0.0).service(name));
            config
                .service_mapping(mapping)
                .tracing_sampling_rules(rules)
        });
        let mut span = root(true);
        for service in [None, Some("db"), Some("store")] {
            span.service = service.map(Into::into);
            assert_eq!(decide(&by_agent, &span).priority, Some(AUTO_REJECT));
            assert_eq!(decide(&by_rule, &span).priority, Some(USER_REJECT));
        }
        let alone = sampler(|config| {
            let rules = ["store", "cellar"].map(|name| SpanSamplingRule::new(1.0).service(name));
            config.service_mapping(mapping).span_sampling_rules(rules)
        });
        let mut spans = Batch::default();
        for service in [None, Some("db"), Some("other")] {
            let mut span = root(true);
            span.service = service.map(Into::into);
            spans.push(&mut span, Ticks::ZERO);
        }
        let mut decision = Decision::default();
        decision.by_user(USER_REJECT);
        alone.mark_single_spans(&decision, &mut spans);
        let kept = spans.spans().map(|span| {
            let extras = span.extras();
            extras.is_some_and(|extras| extras.kept_alone.is_some())
        });
        assert_eq!(kept.collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn what_is_decided_stays_decided() {
        let sampler = sampler(|config| config.tracing_sample_rate(0.0));
        let mut decision = Decision::default();
        decision.by_user(USER_KEEP);
        sampler.decide(&mut decision, &root(true));
        assert_eq!(
            (
                decision.priority,
                decision.maker.as_deref(),
                decision.rule_rate
            ),
            (Some(USER_KEEP), Some("-4"), None)
        );
    }

    #[test]
    fn the_limit_applies_to_what_rules_keep() {
        let sampler = sampler(|config| config.tracing_sample_rate(1.0).tracing_rate_limit(1.0));
        let span = root(true);
        let (first, second) = (decide(&sampler, &span), decide(&sampler, &span));
        assert_eq!(
            (first.priority, first.limit_rate),
            (Some(USER_KEEP), Some(1.0))
        );
        assert_eq!((second.priority, second.maker), (Some(USER_REJECT), None));
        assert!(second.limit_rate.unwrap() < 1.0);
    }
}
