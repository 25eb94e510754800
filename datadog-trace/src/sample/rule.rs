//! How the patterns of a rule are held against a span.

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

/// Whether a span has the tag, with a value that fits. Numbers are compared as they are written; those that are not
/// whole fit only a pattern of stars (libdatadog: `libdd-sampling/src/sampling_rule.rs`). `None` if it does not have it.
pub(super) fn tag_fits(pattern: &Glob, span: &SpanData, key: &str) -> Option<bool> {
    if let Some(text) = span.tags.text(key) {
        return Some(pattern.matches(text));
    }
    let number = span.tags.number(key)?;
    let is_whole = number.is_finite() && number.fract() == 0.0;
    Some(if is_whole {
        pattern.matches(&number.to_string())
    } else {
        pattern.as_str().bytes().all(|byte| byte == b'*')
    })
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
            let found = tag_fits(&Glob::new(pattern), &span, key);
            assert_eq!(found, fits, "{key} {pattern}");
        }
    }
}
