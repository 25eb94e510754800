//! Traces that the agent is set up to drop: they must not count in statistics either, and need not be sent
//! (datadog-agent: `pkg/trace/agent/agent.go`, `pkg/trace/filters/blacklister.go`).

use std::borrow::Cow;

use datadog_config::normalize_tag_value;
use datadog_transport::{AgentInfo, TagFilters};

use crate::stats::key::{SERVICE_BYTES, floor};
use crate::stats::pattern::Pattern;

/// What the agent's filters say of the first span of a trace.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    ignored_resources: Vec<Pattern>,
    reject: Vec<TagFilter>,
    require: Vec<TagFilter>,
}

#[derive(Debug)]
struct TagFilter {
    key: String,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Any,
    Exactly(String),
    Like(Pattern),
}

impl Filters {
    /// `None` if the agent has a filter that can't be read here: then it has to look at all traces itself.
    pub(crate) fn new(info: &AgentInfo) -> Option<Self> {
        let exact = |value: &str| Some(Value::Exactly(value.to_owned()));
        let like = |value: &str| Pattern::new(value).map(Value::Like);
        let both = |of: fn(&TagFilters) -> &Vec<String>| -> Option<Vec<TagFilter>> {
            let mut filters = read(of(&info.filter_tags), exact)?;
            filters.extend(read(of(&info.filter_tags_regex), like)?);
            Some(filters)
        };
        let ignored = info.ignore_resources.iter();
        Some(Self {
            ignored_resources: ignored
                .filter(|pattern| !pattern.is_empty())
                .map(|pattern| Pattern::new(pattern))
                .collect::<Option<_>>()?,
            reject: both(|filters| &filters.reject)?,
            require: both(|filters| &filters.require)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ignored_resources.is_empty() && self.reject.is_empty() && self.require.is_empty()
    }

    /// Whether the agent drops traces whose first span has this resource and these tags.
    pub(crate) fn reject<'a>(
        &self,
        resource: &str,
        tag: impl Fn(&str) -> Option<Cow<'a, str>>,
    ) -> bool {
        let ignored = &self.ignored_resources;
        ignored.iter().any(|pattern| pattern.is_in(resource))
            || self.reject.iter().any(|filter| filter.fits(&tag))
            || !self.require.iter().all(|filter| filter.fits(&tag))
    }
}

fn read(filters: &[String], value: impl Fn(&str) -> Option<Value>) -> Option<Vec<TagFilter>> {
    let filled = filters.iter().filter(|filter| !filter.trim().is_empty());
    let read = |filter: &String| {
        let (key, wanted) = filter.split_once(':').unwrap_or((filter, ""));
        let (key, wanted) = (key.trim().to_owned(), wanted.trim());
        let value = match wanted {
            "" => Value::Any,
            wanted => value(wanted)?,
        };
        Some(TagFilter { key, value })
    };
    filled.map(read).collect()
}

impl TagFilter {
    fn fits<'a>(&self, tag: impl Fn(&str) -> Option<Cow<'a, str>>) -> bool {
        let Some(mut value) = tag(&self.key) else {
            return false;
        };
        // As the agent has them when it looks at them.
        let most = match &*self.key {
            "env" => Some(value.len()),
            "peer.service" | "_dd.base_service" => Some(floor(&value, SERVICE_BYTES)),
            _ => None,
        };
        if let Some(shown) = most.and_then(|most| value.get(..most)) {
            value = Cow::Owned(normalize_tag_value(shown).into_owned());
        }
        if self.key == "http.status_code"
            && !value.parse().is_ok_and(|code| (100..600).contains(&code))
        {
            return false;
        }
        match &self.value {
            Value::Any => true,
            Value::Exactly(wanted) => value == *wanted,
            Value::Like(pattern) => pattern.is_in(&value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(info: &AgentInfo, resource: &str, tags: &[(&str, &str)]) -> bool {
        let filters = Filters::new(info).unwrap();
        filters.reject(resource, |key| {
            let tag = tags.iter().find(|(known, _)| *known == key);
            tag.map(|(_, value)| Cow::Owned((*value).to_owned()))
        })
    }

    #[test]
    fn filters_say_what_the_agent_drops() {
        let mut info = AgentInfo::default();
        assert!(Filters::new(&info).unwrap().is_empty());
        info.filter_tags.require = vec!["env:prod".to_owned(), " ".to_owned()];
        info.filter_tags.reject = vec!["debug".to_owned(), "url: http://x:1 ".to_owned()];
        info.filter_tags_regex.reject = vec!["http.status_code:^[67]".to_owned()];
        info.filter_tags_regex.require = vec!["team".to_owned()];
        let good = [("env", "Prod"), ("team", "x")];
        let with = |more: &[(&'static str, &'static str)]| {
            rejected(&info, "GET /", &[&good, more].concat())
        };
        assert!(!with(&[]));
        assert!(with(&[("debug", "")]));
        assert!(with(&[("url", "http://x:1")]));
        assert!(!with(&[("url", "http://x:12")]));
        assert!(!with(&[("http.status_code", "700")]), "that is none");
        assert!(rejected(&info, "GET /", &[("env", "prod")]));
        assert!(rejected(&info, "GET /", &[("team", "x")]));
        info.ignore_resources = vec![String::new(), "^GET /$".to_owned()];
        assert!(rejected(&info, "GET /", &good));
        assert!(!rejected(&info, "GET /cart", &good));
        info.ignore_resources.push("(".to_owned());
        assert!(Filters::new(&info).is_none());
    }

    #[test]
    fn names_of_services_are_held_against_filters_as_the_agent_writes_them() {
        let mut info = AgentInfo::default();
        let long = "x".repeat(100);
        info.filter_tags.reject = vec![
            "peer.service:our_bank".to_owned(),
            "peer.service:3rd_party".to_owned(),
            "env:2prod".to_owned(),
            format!("_dd.base_service:{long}"),
        ];
        for (key, value, is_rejected) in [
            ("peer.service", "Our Bank", true),
            ("peer.service", "3Our Bank", false),
            ("peer.service", "3rd Party", true),
            ("env", "2Prod", true),
            ("peer.name", "Our Bank", false),
            ("_dd.base_service", &*format!("{long}y"), true),
            ("_dd.base_service", "", false),
        ] {
            assert_eq!(
                rejected(&info, "GET /", &[(key, value)]),
                is_rejected,
                "{key} {value}"
            );
        }
    }
}
