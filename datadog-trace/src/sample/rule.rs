//! How the patterns of a rule are held against a span.

use std::borrow::Cow;

use datadog_config::{Glob, SamplingRule};

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

/// A tag as patterns see it: numbers as they are written, without a point where they are whole.
pub(super) fn tag<'a>(span: &'a SpanData, key: &str) -> Option<Cow<'a, str>> {
    span.tags
        .text(key)
        .map(Cow::Borrowed)
        .or_else(|| Some(Cow::Owned(span.tags.number(key)?.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_text() {
        let mut span = SpanData::default();
        span.tags.set_number("status".into(), 200.0);
        span.tags.set_number("part".into(), 0.5);
        span.tags.set_text("text".into(), "7.0");
        let text = |key| tag(&span, key).map(Cow::into_owned);
        assert_eq!(text("status").as_deref(), Some("200"));
        assert_eq!(text("part").as_deref(), Some("0.5"));
        assert_eq!(text("text").as_deref(), Some("7.0"));
        assert_eq!(text("none"), None);
    }
}
