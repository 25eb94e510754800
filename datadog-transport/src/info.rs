//! What the agent says it can do: `GET /info` (datadog-agent: `pkg/trace/api/info.go`).

use std::time::{Duration, Instant};

use serde_json::Value;

/// How long to wait after `/info` could not be read.
const RETRY: Duration = Duration::from_secs(60);

/// An agent's abilities. The default is what an agent older than 7.28 has, which knows no `/info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentInfo {
    /// The agent's version.
    pub version: Option<String>,
    /// Paths that it serves, such as `/v0.4/traces`.
    pub endpoints: Vec<String>,
    /// Whether traces that are not kept may be left out, if statistics are sent for them.
    pub client_drop_p0s: bool,
    /// Whether spans may have native events.
    pub span_events: bool,
    /// Whether spans may have `meta_struct`.
    pub span_meta_structs: bool,
    /// Whether it takes spans of traces that still run.
    pub long_running_spans: bool,
    /// Tags that tell the peers of a span apart in statistics.
    pub peer_tags: Vec<String>,
    /// Feature flags.
    pub feature_flags: Vec<String>,
    /// The version of its rules by which it hides what resources tell; 0 where it does not say.
    pub obfuscation_version: u64,
    /// What it takes out of the tags of spans; `None` where it does not say.
    pub obfuscation: Option<Obfuscation>,
    /// Traces that it drops by the exact tags of their first span: `key` or `key:value`.
    pub filter_tags: TagFilters,
    /// The same with regular expressions as values.
    pub filter_tags_regex: TagFilters,
    /// Regular expressions; it drops traces whose first span has such a resource.
    pub ignore_resources: Vec<String>,
}

/// What the agent takes out of the tags of spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Obfuscation {
    /// The query strings of URLs.
    pub remove_query_string: bool,
    /// The parts of the paths of URLs that have digits.
    pub remove_path_digits: bool,
    /// Numbers that may be those of payment cards; `None` if they are left, or it does not say.
    pub credit_cards: Option<CreditCards>,
}

/// Which numbers the agent takes for those of payment cards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreditCards {
    /// Whether their check digit has to be right (<https://en.wikipedia.org/wiki/Luhn_algorithm>).
    pub luhn: bool,
    /// Tags that are left as they are.
    pub keep_values: Vec<String>,
}

/// By which tags the agent drops traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagFilters {
    /// A trace needs all of these.
    pub require: Vec<String>,
    /// A trace must have none of these.
    pub reject: Vec<String>,
}

/// What is known of the agent, and when to ask again.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    info: AgentInfo,
    /// The agent's state that `info` belongs to (header `Datadog-Agent-State`).
    state: Option<String>,
    /// When to ask next; `None` while what is known holds. Starts in the past: ask at once.
    ask: Ask,
}

#[derive(Debug, Default)]
enum Ask {
    #[default]
    Now,
    After(Instant),
    Never,
}

impl AgentInfo {
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(body).ok()?;
        json.as_object()?;
        let flag = |key: &str| json[key].as_bool().unwrap_or(false);
        let list = |key: &str| texts(&json[key]);
        let filters = |key: &str| TagFilters {
            require: texts(&json[key]["require"]),
            reject: texts(&json[key]["reject"]),
        };
        Some(Self {
            version: json["version"].as_str().map(str::to_owned),
            endpoints: list("endpoints"),
            client_drop_p0s: flag("client_drop_p0s"),
            span_events: flag("span_events"),
            span_meta_structs: flag("span_meta_structs"),
            long_running_spans: flag("long_running_spans"),
            peer_tags: list("peer_tags"),
            feature_flags: list("feature_flags"),
            obfuscation_version: json["obfuscation_version"].as_u64().unwrap_or(0),
            obfuscation: Obfuscation::parse(&json["config"]["obfuscation"]),
            filter_tags: filters("filter_tags"),
            filter_tags_regex: filters("filter_tags_regex"),
            ignore_resources: list("ignore_resources"),
        })
    }
}

impl Obfuscation {
    fn parse(json: &Value) -> Option<Self> {
        json.as_object()?;
        let flag = |json: &Value| json.as_bool().unwrap_or(false);
        let cards = &json["credit_cards"];
        Some(Self {
            remove_query_string: flag(&json["http"]["remove_query_string"]),
            remove_path_digits: flag(&json["http"]["remove_path_digits"]),
            credit_cards: flag(&cards["enabled"]).then(|| CreditCards {
                luhn: flag(&cards["luhn"]),
                keep_values: texts(&cards["keep_values"]),
            }),
        })
    }
}

/// The texts of a list.
fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

impl Knowledge {
    pub(crate) fn info(&self) -> &AgentInfo {
        &self.info
    }

    /// Whether to ask now.
    pub(crate) fn wants_answer(&self, now: Instant) -> bool {
        match self.ask {
            Ask::Now => true,
            Ask::After(when) => when <= now,
            Ask::Never => false,
        }
    }

    /// Takes what `/info` answered, with the agent's state.
    pub(crate) fn learn(&mut self, info: AgentInfo, state: Option<&str>) {
        *self = Self {
            info,
            state: state.map(str::to_owned),
            ask: Ask::Never,
        };
    }

    /// Keeps what was known, and asks again later.
    pub(crate) fn no_answer(&mut self, now: Instant) {
        self.ask = Ask::After(now + RETRY);
    }

    /// Takes the state that an answer to any other request carried: another one means that `/info` changed.
    pub(crate) fn see_state(&mut self, state: &str) {
        let known = self.state.as_deref() == Some(state);
        if !known && matches!(self.ask, Ask::Never) {
            self.ask = Ask::Now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_leniently_and_garbage_is_none() {
        let body = br#"{"version":"7.60.0","endpoints":["/v0.4/traces",7],"client_drop_p0s":true,"config":{"statsd_port":8125}}"#;
        let info = AgentInfo::parse(body).unwrap();
        assert_eq!(info.version.as_deref(), Some("7.60.0"));
        assert_eq!(
            (info.endpoints, info.client_drop_p0s, info.span_events),
            (vec!["/v0.4/traces".to_owned()], true, false)
        );
        assert_eq!(info.filter_tags, TagFilters::default());
        let body = br#"{"obfuscation_version":1,"filter_tags":{"reject":["a:b",1]},"ignore_resources":["^GET /ping$"],
            "filter_tags_regex":{"require":["c:.*"],"reject":null}}"#;
        let info = AgentInfo::parse(body).unwrap();
        assert_eq!(info.obfuscation_version, 1);
        assert_eq!(info.filter_tags.reject, ["a:b"]);
        assert_eq!(info.filter_tags_regex.require, ["c:.*"]);
        assert_eq!(info.ignore_resources, ["^GET /ping$"]);
        assert_eq!((info.obfuscation, info.long_running_spans), (None, false));
        let body = br#"{"long_running_spans":true,"config":{"obfuscation":{"http":{"remove_query_string":true},
            "credit_cards":{"enabled":true,"luhn":true,"keep_values":["id"]}}}}"#;
        let info = AgentInfo::parse(body).unwrap();
        assert!(info.long_running_spans);
        let obfuscation = info.obfuscation.unwrap();
        assert!(obfuscation.remove_query_string && !obfuscation.remove_path_digits);
        let cards = obfuscation.credit_cards.unwrap();
        assert_eq!(
            (cards.luhn, &*cards.keep_values),
            (true, &["id".to_owned()][..])
        );
        let body = br#"{"config":{"obfuscation":{"credit_cards":{"enabled":false}}}}"#;
        let off = AgentInfo::parse(body).unwrap().obfuscation;
        assert_eq!(off, Some(Obfuscation::default()));
        assert_eq!(AgentInfo::parse(b"\xff"), None);
        assert_eq!(AgentInfo::parse(b"[]"), None);
    }

    #[test]
    fn asks_at_the_start_after_a_failure_and_when_the_state_changes() {
        let mut knowledge = Knowledge::default();
        let now = Instant::now();
        assert!(knowledge.wants_answer(now));
        knowledge.no_answer(now);
        assert!(!knowledge.wants_answer(now));
        knowledge.see_state("a");
        assert!(!knowledge.wants_answer(now), "a failure is not forgotten");
        assert!(knowledge.wants_answer(now + RETRY));
        knowledge.learn(AgentInfo::default(), Some("a"));
        knowledge.see_state("a");
        assert!(!knowledge.wants_answer(now + RETRY));
        knowledge.see_state("b");
        assert!(knowledge.wants_answer(now));
    }
}
