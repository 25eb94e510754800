//! The rates that the agent tells in its answers to traces (datadog-agent: `pkg/trace/api/responses.go`).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

/// Stands for no version: without a value in the request, the agent tells none in its answer.
const NO_VERSION: &str = "unset";

/// What the agent told last. The worker learns, all threads read.
#[derive(Debug, Default)]
pub(crate) struct AgentRates {
    known: RwLock<Option<Arc<Rates>>>,
    /// The value of `Datadog-Rates-Payload-Version`: the agent leaves rates out that have not changed since.
    version: Mutex<Option<String>>,
}

#[derive(Debug, Default, PartialEq)]
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
        let rates = rates.as_ref()?;
        let of_service = rates.by_service.get(service);
        let rate = of_service
            .and_then(|rates| rates.iter().find(|(known, _)| known == env))
            .map_or(rates.default, |(_, rate)| *rate);
        Some(rate)
    }

    /// Reads an answer of the agent. What can't be read changes nothing.
    pub(crate) fn learn(&self, body: &[u8], version: Option<&str>) {
        if let Some(rates) = Rates::read(body) {
            *self.known.write() = Some(Arc::new(rates));
            *self.version.lock() = version.map(str::to_owned);
        }
    }

    /// The value of `Datadog-Rates-Payload-Version` to send.
    pub(crate) fn version(&self) -> String {
        let known = self.version.lock();
        known.as_deref().unwrap_or(NO_VERSION).to_owned()
    }
}

impl Rates {
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
        );
        for answer in [
            &b"{}"[..],
            b"OK\n",
            b"[1]",
            br#"{"rate_by_service": 3}"#,
            b"",
        ] {
            rates.learn(answer, Some("v2"));
            assert_eq!(rates.rate("web", "prod"), Some(0.5));
            assert_eq!(rates.version(), "v1");
        }
    }
}
