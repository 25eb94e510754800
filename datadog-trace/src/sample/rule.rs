//! How the patterns of a rule are held against a span.

use datadog_config::{Glob, SamplingRule};

use crate::TagValue;
use crate::batch::FinishedSpan;
use crate::span_data::SpanData;

/// Whether service, name and resource fit.
pub(super) fn fits(rule: &SamplingRule, span: &SpanData, service: &str) -> bool {
    pattern_fits(rule.service.as_ref(), service)
        && pattern_fits(rule.name.as_ref(), &span.name)
        && pattern_fits(rule.resource.as_ref(), span.resource())
}

pub(super) fn pattern_fits(pattern: Option<&Glob>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.matches(text))
}

/// A tag of a span that is open.
pub(super) fn tag_of<'a>(span: &'a SpanData, key: &str) -> Option<TagValue<'a>> {
    let text = span.tags.text(key).map(TagValue::from);
    text.or_else(|| Some(span.tags.number(key)?.into()))
}

/// A tag of a span that is finished.
pub(super) fn tag_of_finished<'a>(span: FinishedSpan<'a>, key: &str) -> Option<TagValue<'a>> {
    let text = span.text(key).map(TagValue::from);
    text.or_else(|| Some(span.number(key)?.into()))
}

/// Whether the value of a tag fits. Numbers are compared as they are written; those that are not whole fit only a pattern
/// of stars (libdatadog: `libdd-sampling/src/sampling_rule.rs`).
pub(super) fn tag_fits(pattern: &Glob, value: &TagValue<'_>) -> bool {
    match value {
        TagValue::Text(text) => pattern.matches(text),
        TagValue::Number(number) if number.is_finite() && number.fract() == 0.0 => {
            pattern.matches(&number.to_string())
        }
        TagValue::Number(_) => pattern.as_str().bytes().all(|byte| byte == b'*'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_look_like_text_and_others_fit_stars() {
        let mut span = SpanData::default();
        span.tags.set_number("status".into(), 200.0);
        span.tags.set_number("part".into(), 0.5);
        span.tags.set_text("text".into(), "7.0");
        for (key, pattern, fits) in [
            ("status", "2?0", Some(true)),
            ("status", "200.0", Some(false)),
            ("part", "**", Some(true)),
            ("part", "0.5", Some(false)),
            ("part", "?*", Some(false)),
            ("text", "7.*", Some(true)),
            ("none", "*", None),
        ] {
            let found = tag_of(&span, key).map(|value| tag_fits(&Glob::new(pattern), &value));
            assert_eq!(found, fits, "{key} {pattern}");
        }
    }
}
