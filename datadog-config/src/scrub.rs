//! Scrubbing rules: what is replaced in the texts of logs.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::sampling::Fields;

#[cfg(feature = "scrubbing")]
use regex::Regex;
#[cfg(not(feature = "scrubbing"))]
use without_feature::Regex;

pub(crate) const RULES: &str = r#"a JSON array of rules such as [{"pattern": "\\d{16}", "replace_placeholder": "[card]"}], and the Cargo feature `scrubbing`"#;

/// The kind of the agent's processing rules that replace texts (datadog-agent: `comp/logs/agent/config/processing_rules.go`).
const TYPE: &str = "mask_sequences";

/// What is replaced in the texts of logs: everything that fits a regular expression.
///
/// In JSON a rule looks like those of the agent's `log_processing_rules`, of which only the type `mask_sequences` is
/// taken: `pattern` is an expression of the crate `regex`, which reads nearly all that the agent's reads;
/// `replace_placeholder` is put in place of what fits, where `$1` or `${1}` stand for the pattern's groups and `$$` for
/// a dollar sign. `type` and `name` may be left out.
#[derive(Clone, Debug)]
pub struct ScrubRule {
    pattern: Regex,
    placeholder: String,
}

impl ScrubRule {
    /// The expression.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// What is put in place of what fits.
    pub fn placeholder(&self) -> &str {
        &self.placeholder
    }

    /// The text with everything replaced that fits; takes memory only if something does.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.pattern.replace_all(text, &self.placeholder)
    }

    pub(crate) fn from_json(rule: &mut Fields<'_>) -> Option<Self> {
        if let Some(other) = rule.text("type")?.filter(|name| *name != TYPE) {
            rule.error("type", &format!("expected {TYPE}, not {other}"));
            return None;
        }
        let placeholder = rule.text("replace_placeholder")?.unwrap_or_default();
        let Some(pattern) = rule.text("pattern")? else {
            rule.error("pattern", "is missing");
            return None;
        };
        match Regex::new(pattern) {
            Ok(pattern) => Some(Self {
                pattern,
                placeholder: placeholder.to_owned(),
            }),
            Err(error) => {
                // Its last line says what is wrong, those before it where.
                let error = error.to_string();
                rule.error("pattern", error.lines().last().unwrap_or_default());
                None
            }
        }
    }
}

impl PartialEq for ScrubRule {
    fn eq(&self, other: &Self) -> bool {
        self.pattern() == other.pattern() && self.placeholder == other.placeholder
    }
}

/// Rules as the option has them, from pairs of pattern and placeholder.
pub(crate) fn print(rules: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> String {
    let rule = |(pattern, placeholder): (_, _)| rule(pattern, placeholder);
    Value::Array(rules.into_iter().map(rule).collect()).to_string()
}

fn rule(pattern: impl AsRef<str>, placeholder: impl AsRef<str>) -> Value {
    json!({
        "type": TYPE,
        "pattern": pattern.as_ref(),
        "replace_placeholder": placeholder.as_ref(),
    })
}

#[cfg(not(feature = "scrubbing"))]
mod without_feature {
    use std::borrow::Cow;

    /// Stands in for the expression, of which there is none.
    #[derive(Clone, Debug)]
    pub(super) enum Regex {}

    impl Regex {
        pub(super) fn new(_pattern: &str) -> Result<Self, &'static str> {
            Err("needs the Cargo feature `scrubbing`")
        }

        pub(super) fn as_str(&self) -> &str {
            match *self {}
        }

        pub(super) fn replace_all<'t>(&self, _text: &'t str, _placeholder: &str) -> Cow<'t, str> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::parse_rules;

    fn rules(text: &str) -> (Option<Vec<ScrubRule>>, Vec<String>) {
        parse_rules(text, ScrubRule::from_json, RULES)
    }

    fn scrub(pattern: &str, placeholder: &str, text: &str) -> String {
        let (rules, errors) = rules(&print([(pattern, placeholder)]));
        assert!(errors.is_empty(), "{errors:?}");
        rules.unwrap()[0].scrub(text).into_owned()
    }

    #[test]
    fn everything_that_fits_is_replaced_with_what_the_placeholder_says() {
        assert_eq!(scrub(r"\d{4}", "[n]", "1234 and 56789"), "[n] and [n]9");
        assert_eq!(
            scrub(
                r"(user=)\w+@(\w+)",
                "${1}***@$2",
                "user=ann@home user=bob@work"
            ),
            "user=***@home user=***@work"
        );
        assert_eq!(scrub("x", "$$1", "axb"), "a$1b");
        assert_eq!(scrub("(?i)bearer .+", "", "BEARER tok\nnext"), "\nnext");
        assert_eq!(scrub("é+", "e", "caféé ☕"), "cafe ☕");
        assert_eq!(scrub("^$", "empty", ""), "empty");
    }

    #[test]
    fn a_text_that_fits_nothing_is_not_copied() {
        let (rules, _) = rules(&print([("secret", "x")]));
        assert!(matches!(
            rules.unwrap()[0].scrub("nothing"),
            Cow::Borrowed("nothing")
        ));
    }

    #[test]
    fn the_agent_s_rules_are_read_and_bad_ones_named() {
        let (good, errors) = rules(
            r#"[{"type": "mask_sequences", "name": "cards", "pattern": "4\\d{15}", "replace_placeholder": "[card]"},
                {"pattern": "x"},
                {"type": "exclude_at_match", "pattern": "x"},
                {"pattern": "(a"},
                {"replace_placeholder": "x"},
                {"pattern": 3}]"#,
        );
        let good = good.unwrap();
        let good: Vec<_> = good
            .iter()
            .map(|rule| (rule.pattern(), rule.placeholder()))
            .collect();
        assert_eq!(good, [(r"4\d{15}", "[card]"), ("x", "")]);
        assert_eq!(
            errors,
            [
                "rule [2], type: expected mask_sequences, not exclude_at_match",
                "rule [3], pattern: error: unclosed group",
                "rule [4], pattern: is missing",
                "rule [5], pattern: expected a text, not 3",
            ]
        );
    }
}
