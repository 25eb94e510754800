//! The rates that the agent tells in its answers to traces (datadog-agent: `pkg/trace/api/responses.go`).
//!
//! An agent that has just started tells 1 until it knows better. So that this does not bring it all traces at once, a rate
//! grows to twice its size a second at most (dd-trace-go: `ddtrace/tracer/sampler.go`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

/// Stands for no version: without a value in the request, the agent tells none in its answer.
const NO_VERSION: &str = "unset";

/// A rate grows by this factor at most, and then not again for so long.
const MOST_GROWTH: f64 = 2.0;
const PAUSE: Duration = Duration::from_secs(1);

/// The rates that traces are kept by. The worker learns, all threads read.
#[derive(Debug, Default)]
pub(crate) struct AgentRates {
    known: RwLock<Option<Arc<Rates>>>,
    told: Mutex<Told>,
}

/// What the agent told last.
#[derive(Debug, Default)]
struct Told {
    /// Until they are reached.
    rates: Option<Rates>,
    /// The value of `Datadog-Rates-Payload-Version`: the agent leaves rates out that have not changed since.
    version: Option<String>,
    /// When a rate grew last.
    grew: Option<Instant>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Rates {
    /// By service, then by environment.
    by_service: HashMap<String, Vec<(String, f64)>>,
    /// For all others; what the agent says for no service and no environment.
    default: f64,
}

impl AgentRates {
    /// The rate for the traces of a service; `None` as long as the agent told none.
    pub(crate) fn rate(&self, service: &str, env: &str) -> Option<f64> {
        let rates = self.known.read();
        Some(rates.as_ref()?.rate(service, env))
    }

    /// Reads an answer of the agent. What can't be read changes nothing.
    pub(crate) fn learn(&self, body: &[u8], version: Option<&str>, now: Instant) {
        if let Some(rates) = Rates::read(body) {
            let mut told = self.told.lock();
            told.rates = Some(rates);
            told.version = version.map(str::to_owned);
            self.approach(&mut told, now);
        }
    }

    /// Lets rates grow that have not reached yet what the agent told: it does not tell it again.
    pub(crate) fn grow(&self, now: Instant) {
        let mut told = self.told.lock();
        if told.may_grow(now) {
            self.approach(&mut told, now);
        }
    }

    fn approach(&self, told: &mut Told, now: Instant) {
        let Some(wanted) = told.rates.take() else {
            return;
        };
        let known = self.known.read().clone();
        let next = match &known {
            Some(known) => {
                let growth = if told.may_grow(now) { MOST_GROWTH } else { 1.0 };
                let (next, grew) = wanted.after(known, growth);
                if grew {
                    told.grew = Some(now);
                }
                next
            }
            None => wanted.clone(),
        };
        if next != wanted {
            told.rates = Some(wanted);
        }
        *self.known.write() = Some(Arc::new(next));
    }

    /// The value of `Datadog-Rates-Payload-Version` to send.
    pub(crate) fn version(&self) -> String {
        let told = self.told.lock();
        told.version.as_deref().unwrap_or(NO_VERSION).to_owned()
    }
}

impl Told {
    fn may_grow(&self, now: Instant) -> bool {
        let passed = |grew| now.saturating_duration_since(grew) >= PAUSE;
        self.grew.is_none_or(passed)
    }
}

impl Rates {
    fn rate(&self, service: &str, env: &str) -> f64 {
        self.told(service, env).unwrap_or(self.default)
    }

    fn told(&self, service: &str, env: &str) -> Option<f64> {
        let of_service = self.by_service.get(service)?;
        let found = of_service.iter().find(|(known, _)| known == env);
        found.map(|(_, rate)| *rate)
    }

    /// These rates, but none of them more than `growth` times what it was, and whether any grew. Those that are told no more
    /// stay until they are what is told for all others.
    fn after(&self, before: &Self, growth: f64) -> (Self, bool) {
        let mut grew = false;
        let mut limited = |rate: f64, before: f64| {
            // One that was 0 would never grow.
            let most = if before > 0.0 { before * growth } else { rate };
            grew |= before > 0.0 && rate.min(most) > before;
            rate.min(most)
        };
        let mut next = Self {
            default: limited(self.default, before.default),
            ..Self::default()
        };
        for (service, envs) in &self.by_service {
            let rates = envs
                .iter()
                .map(|(env, rate)| (env.clone(), limited(*rate, before.rate(service, env))));
            next.by_service.insert(service.clone(), rates.collect());
        }
        for (service, envs) in &before.by_service {
            for (env, rate) in envs {
                if self.told(service, env).is_some() {
                    continue;
                }
                let rate = limited(self.default, *rate);
                if rate < self.default {
                    let of_service = next.by_service.entry(service.clone()).or_default();
                    of_service.push((env.clone(), rate));
                }
            }
        }
        (next, grew)
    }

    fn read(body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let told = answer.get("rate_by_service")?.as_object()?;
        let mut rates = Self {
            default: 1.0,
            ..Self::default()
        };
        for (key, rate) in told {
            let Some(rate) = rate.as_f64().filter(|rate| (0.0..=1.0).contains(rate)) else {
                continue;
            };
            // The first `,env:` ends the service (dd-trace-go: `ddtrace/tracer/sampler.go`).
            let Some((service, env)) = key
                .strip_prefix("service:")
                .and_then(|rest| rest.split_once(",env:"))
            else {
                continue;
            };
            if service.is_empty() && env.is_empty() {
                rates.default = rate;
            } else {
                let of_service = rates.by_service.entry(service.to_owned()).or_default();
                of_service.push((env.to_owned(), rate));
            }
        }
        Some(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_the_agent_told_last() {
        let rates = AgentRates::default();
        assert_eq!(rates.rate("web", "prod"), None);
        assert_eq!(rates.version(), NO_VERSION);
        rates.learn(
            br#"{"rate_by_service": {"service:,env:": 0.5, "service:web,env:prod": 0.1, "service:web,env:": 0.2,
                 "service:odd,env:a,env:b": 0.3, "nonsense": 0.4, "service:bad,env:": 7, "service:bad,env:x": "y"}}"#,
            Some("v1"),
            Instant::now(),
        );
        for (service, env, rate) in [
            ("web", "prod", 0.1),
            ("web", "", 0.2),
            ("web", "stage", 0.5),
            ("odd", "a,env:b", 0.3),
            ("bad", "", 0.5),
            ("bad", "x", 0.5),
            ("", "", 0.5),
        ] {
            assert_eq!(rates.rate(service, env), Some(rate), "{service} {env}");
        }
        assert_eq!(rates.version(), "v1");
    }

    #[test]
    fn an_answer_without_rates_changes_nothing() {
        let rates = AgentRates::default();
        rates.learn(
            br#"{"rate_by_service": {"service:,env:": 0.5}}"#,
            Some("v1"),
            Instant::now(),
        );
        for answer in [
            &b"{}"[..],
            b"OK\n",
            b"[1]",
            br#"{"rate_by_service": 3}"#,
            b"",
        ] {
            rates.learn(answer, Some("v2"), Instant::now());
            assert_eq!(rates.rate("web", "prod"), Some(0.5));
            assert_eq!(rates.version(), "v1");
        }
    }

    #[test]
    fn rates_double_once_a_second_at_most() {
        let rates = AgentRates::default();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let shown = || ["web", "db", "new"].map(|service| rates.rate(service, "").unwrap());
        let few = br#"{"rate_by_service": {"service:,env:": 0.25, "service:web,env:": 0.1, "service:db,env:": 0}}"#;
        rates.learn(few, Some("v1"), start);
        assert_eq!(shown(), [0.1, 0.0, 0.25], "the first ones hold at once");
        // As after a restart of the agent, which does not know the services yet, and tells this once.
        rates.learn(br#"{"rate_by_service": {"service:,env:": 1}}"#, None, start);
        assert_eq!(shown(), [0.2, 0.5, 0.5]);
        rates.grow(ms(999));
        assert_eq!(shown(), [0.2, 0.5, 0.5]);
        rates.grow(ms(1_000));
        assert_eq!(shown(), [0.4, 1.0, 1.0]);
        rates.grow(ms(2_000));
        assert_eq!(shown(), [0.8, 1.0, 1.0]);
        rates.learn(few, Some("v2"), ms(2_001));
        assert_eq!(shown(), [0.1, 0.0, 0.25], "down at once");
        rates.grow(ms(9_000));
        assert_eq!(shown(), [0.1, 0.0, 0.25]);
        let more = |rate| format!(r#"{{"rate_by_service": {{"service:web,env:": {rate}}}}}"#);
        rates.learn(more(0.15).as_bytes(), None, ms(9_000));
        rates.learn(more(0.2).as_bytes(), None, ms(9_500));
        assert_eq!(shown()[0], 0.15, "small steps are no way around it");
        rates.grow(ms(10_000));
        assert_eq!(shown()[0], 0.2);
        for seconds in 11..14 {
            rates.grow(ms(seconds * 1_000));
        }
        let known = rates.known.read().clone().unwrap();
        assert_eq!(
            (known.by_service.len(), known.default),
            (1, 1.0),
            "what is told alone"
        );
    }
}
