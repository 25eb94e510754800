//! Single spans that are kept although their trace is not.

use std::time::Instant;

use datadog_config::{Glob, SpanSamplingRule};
use parking_lot::Mutex;

use super::limiter::Limiter;
use super::{knuth, rule};
use crate::batch::FinishedSpan;

#[derive(Debug)]
pub(super) struct SingleSpans {
    rules: Vec<(SpanSamplingRule, Option<Mutex<Limiter>>)>,
}

impl SingleSpans {
    pub(super) fn new(rules: &[SpanSamplingRule]) -> Self {
        let limited = |rule: &SpanSamplingRule| {
            let limiter = rule.max_per_second.map(Limiter::new);
            (rule.clone(), limiter.map(Mutex::new))
        };
        Self {
            rules: rules.iter().map(limited).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rate and the limit of the first rule that fits, if it keeps the span.
    pub(super) fn keeps(
        &self,
        span: FinishedSpan<'_>,
        service: &str,
        tags_fit: impl Fn(&[(String, Glob)]) -> bool,
    ) -> Option<(f64, Option<f64>)> {
        let (rule, limiter) = self.rules.iter().find(|(rule, _)| {
            rule::pattern_fits(rule.service.as_ref(), service)
                && rule::pattern_fits(rule.name.as_ref(), span.name())
                && rule::pattern_fits(rule.resource.as_ref(), span.resource())
                && tags_fit(&rule.tags)
        })?;
        let allowed = |limiter: &Mutex<Limiter>| limiter.lock().allow(Instant::now()).0;
        let kept = knuth::keeps(span.span.span_id, rule.sample_rate)
            && limiter.as_ref().is_none_or(allowed);
        kept.then_some((rule.sample_rate, rule.max_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::span_data::SpanData;
    use crate::ticks::Ticks;

    #[test]
    fn the_first_rule_that_fits_marks_the_span_within_its_limit() {
        let rules = [
            SpanSamplingRule::new(0.0).name("noise"),
            SpanSamplingRule::new(1.0)
                .service("db*")
                .max_per_second(1.0),
            SpanSamplingRule::new(1.0).name("pay"),
        ];
        let single = SingleSpans::new(&rules);
        let marked = |name: &'static str, service: &str| {
            let mut batch = Batch::default();
            let mut span = SpanData {
                name: name.into(),
                ..SpanData::default()
            };
            batch.push(&mut span, Ticks::ZERO);
            let span = batch.spans().next()?;
            single.keeps(span, service, |tags| tags.is_empty())
        };
        assert_eq!(marked("noise", "db-1"), None);
        assert_eq!(marked("query", "db-1"), Some((1.0, Some(1.0))));
        assert_eq!(marked("query", "db-1"), None);
        assert_eq!(marked("pay", "web"), Some((1.0, None)));
        assert_eq!(marked("other", "web"), None);
    }
}
