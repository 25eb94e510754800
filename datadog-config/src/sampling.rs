//! Sampling rules: which traces and spans are kept.

use serde_json::{Map, Value, json};

use crate::glob::Glob;

pub(crate) const RATE: &str = "a number between 0 and 1";
pub(crate) const RULES: &str =
    r#"a JSON array of rules such as [{"service": "web", "sample_rate": 0.5}]"#;
pub(crate) const SPAN_RULES: &str = r#"a JSON array of rules such as [{"service": "web", "sample_rate": 0.5, "max_per_second": 50}]"#;

/// Which part of the traces that look like this is kept.
///
/// A pattern left out fits everything. In JSON the fields have the same names (Datadog's documentation, "Ingestion
/// mechanisms"; `dd-trace-go: ddtrace/tracer/rules_sampler.go`). The triple `(service, env, rate)` is a short form.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SamplingRule {
    /// The part that is kept, 0 to 1.
    pub sample_rate: f64,
    /// The span's service.
    pub service: Option<Glob>,
    /// The name of the span's operation.
    pub name: Option<Glob>,
    /// The span's resource.
    pub resource: Option<Glob>,
    /// Tags of the span; all have to fit.
    pub tags: Vec<(String, Glob)>,
    /// Where the rule comes from, which traces that it keeps tell.
    pub provenance: Provenance,
}

/// Where a rule comes from (`dd-trace-go: ddtrace/tracer/rules_sampler.go`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provenance {
    /// This configuration.
    #[default]
    Local,
    /// A user, through Datadog: `customer`.
    Customer,
    /// Datadog itself: `dynamic`.
    Dynamic,
}

impl Provenance {
    /// As it is written; `None` for the local one, which is not.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Local => None,
            Self::Customer => Some("customer"),
            Self::Dynamic => Some("dynamic"),
        }
    }
}

impl SamplingRule {
    /// Keeps the part `sample_rate` of all traces.
    pub fn new(sample_rate: f64) -> Self {
        Self {
            sample_rate,
            service: None,
            name: None,
            resource: None,
            tags: Vec::new(),
            provenance: Provenance::default(),
        }
    }

    /// Only spans of a service that fits `pattern`.
    #[must_use]
    pub fn service(mut self, pattern: &str) -> Self {
        self.service = glob(pattern);
        self
    }

    /// Only spans with an operation name that fits `pattern`.
    #[must_use]
    pub fn name(mut self, pattern: &str) -> Self {
        self.name = glob(pattern);
        self
    }

    /// Only spans with a resource that fits `pattern`.
    #[must_use]
    pub fn resource(mut self, pattern: &str) -> Self {
        self.resource = glob(pattern);
        self
    }

    /// Only spans with a tag `key` whose value fits `pattern`. Whole numbers are compared as they are written, such as
    /// `200`; other numbers fit only `*`.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, pattern: &str) -> Self {
        self.tags.push((key.into(), Glob::new(pattern)));
        self
    }

    pub(crate) fn from_json(rule: &mut Fields<'_>) -> Option<Self> {
        let sample_rate = rule.number("sample_rate", RATE, is_rate);
        if sample_rate == Some(None) {
            rule.error("sample_rate", "is missing");
        }
        let (service, name) = (rule.glob("service"), rule.glob("name"));
        let (resource, tags) = (rule.glob("resource"), rule.tags());
        let written = rule.text("provenance");
        let known = [Provenance::Customer, Provenance::Dynamic].into_iter();
        let provenance = written.map(|written| {
            let mut known = known.filter(|known| known.name() == written);
            known.next().unwrap_or_default()
        });
        Some(Self {
            sample_rate: sample_rate??,
            service: service?,
            name: name?,
            resource: resource?,
            tags: tags?,
            provenance: provenance?,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut rule = Map::new();
        rule.insert("sample_rate".to_owned(), json!(self.sample_rate));
        for (field, pattern) in [
            ("service", &self.service),
            ("name", &self.name),
            ("resource", &self.resource),
        ] {
            insert_glob(&mut rule, field, pattern.as_ref());
        }
        insert_tags(&mut rule, &self.tags);
        if let Some(provenance) = self.provenance.name() {
            rule.insert("provenance".to_owned(), json!(provenance));
        }
        Value::Object(rule)
    }
}

/// `(service, env, rate)`: the environment is matched as the span's tag `env`.
impl From<(&str, &str, f64)> for SamplingRule {
    fn from((service, env, rate): (&str, &str, f64)) -> Self {
        let rule = Self::new(rate).service(service);
        if glob(env).is_some() {
            rule.tag("env", env)
        } else {
            rule
        }
    }
}

/// Which spans are kept although their trace is not.
///
/// A pattern left out fits everything. In JSON the fields have the same names
/// (`dd-trace-go: ddtrace/tracer/rules_sampler.go`; dd-trace-py knows neither resources nor tags here).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpanSamplingRule {
    /// The part that is kept, 0 to 1; 1 if left out.
    pub sample_rate: f64,
    /// The span's service.
    pub service: Option<Glob>,
    /// The name of the span's operation.
    pub name: Option<Glob>,
    /// The span's resource.
    pub resource: Option<Glob>,
    /// Tags of the span; all have to fit.
    pub tags: Vec<(String, Glob)>,
    /// How many spans a second are kept at most.
    pub max_per_second: Option<f64>,
}

impl SpanSamplingRule {
    /// Keeps the part `sample_rate` of all spans.
    pub fn new(sample_rate: f64) -> Self {
        Self {
            sample_rate,
            service: None,
            name: None,
            resource: None,
            tags: Vec::new(),
            max_per_second: None,
        }
    }

    /// Only spans of a service that fits `pattern`.
    #[must_use]
    pub fn service(mut self, pattern: &str) -> Self {
        self.service = glob(pattern);
        self
    }

    /// Only spans with an operation name that fits `pattern`.
    #[must_use]
    pub fn name(mut self, pattern: &str) -> Self {
        self.name = glob(pattern);
        self
    }

    /// Only spans with a resource that fits `pattern`.
    #[must_use]
    pub fn resource(mut self, pattern: &str) -> Self {
        self.resource = glob(pattern);
        self
    }

    /// Only spans with a tag `key` whose value fits `pattern`, as with [`SamplingRule::tag`].
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, pattern: &str) -> Self {
        self.tags.push((key.into(), Glob::new(pattern)));
        self
    }

    /// At most `spans` a second.
    #[must_use]
    pub fn max_per_second(mut self, spans: f64) -> Self {
        self.max_per_second = Some(spans);
        self
    }

    pub(crate) fn from_json(rule: &mut Fields<'_>) -> Option<Self> {
        let sample_rate = rule.number("sample_rate", RATE, is_rate);
        let max_per_second =
            rule.number("max_per_second", "a number above 0", |number| number > 0.0);
        let (service, name) = (rule.glob("service"), rule.glob("name"));
        let (resource, tags) = (rule.glob("resource"), rule.tags());
        let sample_rate = sample_rate?.unwrap_or(1.0);
        Some(Self {
            sample_rate,
            service: service?,
            name: name?,
            resource: resource?,
            tags: tags?,
            max_per_second: max_per_second?,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut rule = Map::new();
        rule.insert("sample_rate".to_owned(), json!(self.sample_rate));
        for (field, pattern) in [
            ("service", &self.service),
            ("name", &self.name),
            ("resource", &self.resource),
        ] {
            insert_glob(&mut rule, field, pattern.as_ref());
        }
        insert_tags(&mut rule, &self.tags);
        if let Some(limit) = self.max_per_second {
            rule.insert("max_per_second".to_owned(), json!(limit));
        }
        Value::Object(rule)
    }
}

/// Reads a rate. Words such as `NaN` and `inf`, which Rust takes for numbers, are none.
pub(crate) fn parse_rate(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|rate| is_rate(*rate))
}

/// Reads the rules of a JSON array. A bad rule is left out and named by its index and field; there is no value if the
/// text is no array, or has rules and not one of them is good.
pub(crate) fn parse_rules<R>(
    text: &str,
    from_json: fn(&mut Fields<'_>) -> Option<R>,
    expects: &str,
) -> (Option<Vec<R>>, Vec<String>) {
    let written = match serde_json::from_str(text) {
        Ok(Value::Array(rules)) => rules,
        Ok(_) => return (None, vec![format!("expected {expects}")]),
        Err(error) => {
            return (
                None,
                vec![format!("expected {expects}; it is no JSON: {error}")],
            );
        }
    };
    let mut errors = Vec::new();
    let mut rules = Vec::new();
    for (index, rule) in written.iter().enumerate() {
        let Value::Object(fields) = rule else {
            errors.push(format!(
                "rule [{index}]: expected an object with the rule's fields"
            ));
            continue;
        };
        rules.extend(from_json(&mut Fields {
            index,
            fields,
            errors: &mut errors,
        }));
    }
    let none_left = rules.is_empty() && !written.is_empty();
    ((!none_left).then_some(rules), errors)
}

/// The fields of one rule, and the list that takes what is wrong with them.
pub(crate) struct Fields<'a> {
    index: usize,
    fields: &'a Map<String, Value>,
    errors: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    pub(crate) fn error(&mut self, field: &str, message: &str) {
        self.errors
            .push(format!("rule [{}], {field}: {message}", self.index));
    }

    /// A text; `Some(None)` if the field is left out, `None` if it is wrong.
    pub(crate) fn text(&mut self, field: &str) -> Option<Option<&'a str>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text)),
            Some(other) => {
                self.error(field, &format!("expected a text, not {other}"));
                None
            }
        }
    }

    /// A number that is `valid`; `Some(None)` if the field is left out, `None` if it is wrong.
    fn number(
        &mut self,
        field: &str,
        expects: &str,
        valid: fn(f64) -> bool,
    ) -> Option<Option<f64>> {
        let Some(value) = self.fields.get(field) else {
            return Some(None);
        };
        let number = value.as_f64().filter(|number| valid(*number));
        if number.is_none() {
            self.error(field, &format!("expected {expects}, not {value}"));
        }
        Some(Some(number?))
    }

    /// A pattern; `Some(None)` if the field is left out, `None` if it is wrong.
    fn glob(&mut self, field: &str) -> Option<Option<Glob>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(pattern)) => Some(glob(pattern)),
            Some(other) => {
                self.error(field, &format!("expected a text with * and ?, not {other}"));
                None
            }
        }
    }

    fn tags(&mut self) -> Option<Vec<(String, Glob)>> {
        let tags = match self.fields.get("tags") {
            None | Some(Value::Null) => return Some(Vec::new()),
            Some(Value::Object(tags)) => tags,
            Some(other) => {
                self.error(
                    "tags",
                    &format!("expected an object of tags and patterns, not {other}"),
                );
                return None;
            }
        };
        let pattern = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| Glob::new(&value.to_string()), Glob::new)
        };
        Some(
            tags.iter()
                .map(|(key, value)| (key.clone(), pattern(value)))
                .collect(),
        )
    }
}

fn is_rate(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

/// No pattern at all for a text that fits everything anyway.
fn glob(pattern: &str) -> Option<Glob> {
    (!pattern.is_empty() && pattern != "*").then(|| Glob::new(pattern))
}

fn insert_glob(rule: &mut Map<String, Value>, field: &str, pattern: Option<&Glob>) {
    if let Some(pattern) = pattern {
        rule.insert(field.to_owned(), json!(pattern.as_str()));
    }
}

fn insert_tags(rule: &mut Map<String, Value>, tags: &[(String, Glob)]) {
    if !tags.is_empty() {
        let tags = tags.iter();
        let tags = tags.map(|(key, pattern)| (key.clone(), json!(pattern.as_str())));
        rule.insert("tags".to_owned(), Value::Object(tags.collect()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(text: &str) -> (Option<Vec<SamplingRule>>, Vec<String>) {
        parse_rules(text, SamplingRule::from_json, RULES)
    }

    fn span_rules(text: &str) -> (Option<Vec<SpanSamplingRule>>, Vec<String>) {
        parse_rules(text, SpanSamplingRule::from_json, SPAN_RULES)
    }

    #[test]
    fn every_field_is_read() {
        let text = r#"[
            {"service": "web*", "name": "http.?", "resource": "GET *", "tags": {"tier": "g*", "n": 5}, "sample_rate": 0.25},
            {"sample_rate": 1, "service": "*", "name": "", "something": "else"}
        ]"#;
        let first = SamplingRule::new(0.25)
            .service("web*")
            .name("http.?")
            .resource("GET *")
            .tag("n", "5")
            .tag("tier", "g*");
        assert_eq!(
            rules(text),
            (Some(vec![first, SamplingRule::new(1.0)]), Vec::new())
        );

        let text = r#"[{"service": "web", "name": "sql", "resource": "GET *", "tags": {"tier": "g*"}, "sample_rate": 0.5, "max_per_second": 50}, {}]"#;
        let first = SpanSamplingRule::new(0.5)
            .service("web")
            .name("sql")
            .resource("GET *")
            .tag("tier", "g*")
            .max_per_second(50.0);
        assert_eq!(
            span_rules(text),
            (Some(vec![first, SpanSamplingRule::new(1.0)]), Vec::new())
        );
    }

    #[test]
    fn a_triple_is_service_environment_and_rate() {
        assert_eq!(
            SamplingRule::from(("web", "prod", 0.02)),
            SamplingRule::new(0.02).service("web").tag("env", "prod")
        );
        assert_eq!(SamplingRule::from(("*", "", 0.02)), SamplingRule::new(0.02));
    }

    #[test]
    fn errors_name_the_rule_and_the_field() {
        let text = r#"[{"sample_rate": 1}, {"service": "a"}, {"sample_rate": 2}, 7, {"sample_rate": 0, "name": 3, "tags": []}]"#;
        let (good, errors) = rules(text);
        assert_eq!(good, Some(vec![SamplingRule::new(1.0)]));
        assert_eq!(
            errors,
            [
                "rule [1], sample_rate: is missing",
                "rule [2], sample_rate: expected a number between 0 and 1, not 2",
                "rule [3]: expected an object with the rule's fields",
                "rule [4], name: expected a text with * and ?, not 3",
                "rule [4], tags: expected an object of tags and patterns, not []",
            ]
        );
        let (good, errors) = span_rules(r#"[{"max_per_second": 0, "sample_rate": "1"}]"#);
        assert_eq!(good, None);
        assert_eq!(
            errors,
            [
                r#"rule [0], sample_rate: expected a number between 0 and 1, not "1""#,
                "rule [0], max_per_second: expected a number above 0, not 0",
            ]
        );
    }

    #[test]
    fn what_is_no_array_has_no_rules() {
        for text in ["", "{", "{}", "1", "[", "[{]"] {
            let (good, errors) = rules(text);
            assert_eq!((good, errors.len()), (None, 1), "{text}");
            assert!(
                errors[0].starts_with("expected a JSON array of rules"),
                "{text}"
            );
        }
        assert_eq!(rules("[]"), (Some(Vec::new()), Vec::new()));
    }

    #[test]
    fn rates() {
        for (text, rate) in [("0", 0.0), ("1", 1.0), (" 0.25 ", 0.25), ("1e-3", 0.001)] {
            assert_eq!(parse_rate(text), Some(rate), "{text}");
        }
        for text in ["", "abc", "-0.1", "1.1", "NaN", "inf", "off", "yes", "50%"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    /// A pattern that is one: the empty one and `*` stand for none.
    fn pattern() -> impl Strategy<Value = String> {
        any::<String>().prop_filter("is a pattern", |pattern| glob(pattern).is_some())
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = rules(&text);
            let _ = span_rules(&text);
        }

        #[test]
        fn printed_rules_parse_back(rate in 0.0..=1.0, limit in 0.1..1e9, service in pattern(), name in pattern(), key in any::<String>()) {
            let tag = key.clone();
            let rule = SamplingRule::new(rate).service(&service).resource(&name).tag(key, &name);
            let text = Value::Array(vec![rule.to_json()]).to_string();
            prop_assert_eq!(rules(&text), (Some(vec![rule]), Vec::new()));

            let rule = SpanSamplingRule::new(rate).service(&service).name(&name).resource(&name).tag(tag, &name).max_per_second(limit);
            let text = Value::Array(vec![rule.to_json()]).to_string();
            prop_assert_eq!(span_rules(&text), (Some(vec![rule]), Vec::new()));
        }
    }
}
