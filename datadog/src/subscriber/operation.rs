//! Spans that libraries have within those of their operations: a failure that only these tell is the operation's too.

use tracing_core::Subscriber;
use tracing_core::span::Id;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::callsite::Callsite;
use super::failure::{status_failed, status_message};
use super::fields::Fields;
use super::layer::DDTracingLayer;
use super::open_span::OpenSpan;

/// Where libraries tell errors of theirs on another level than error: clickhouse 0.15, whatever its features, `src/error.rs`,
/// `record_in_current_span`; async-graphql 7.2, those of fields, `src/extensions/tracing.rs`.
const ERRORS: [&str; 2] = ["clickhouse::error", "async_graphql::graphql"];

/// Whether events of this target say that their span failed, on whatever level they are.
pub(super) fn tells_failure(target: &str) -> bool {
    ERRORS.contains(&target)
}

impl DDTracingLayer {
    /// Fails the operation that a span is within.
    pub(super) fn fail_operation<S>(
        &self,
        inner: &Id,
        context: &Context<'_, S>,
        kind: &str,
        message: &str,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(scope) = context.span_scope(inner) else {
            return;
        };
        let mut rule = None;
        for span in scope {
            let callsite = Callsite::of(span.metadata());
            let Some(of_span) = callsite.rule else { return };
            if *rule.get_or_insert(of_span.module) != of_span.module {
                return;
            }
            if !callsite.is_inner() {
                let fail = |open: &mut OpenSpan| open.fail(kind, message);
                self.slots.with(&span.id(), context, fail);
                return;
            }
        }
    }

    /// Takes note of a failure that was recorded on an inner span.
    pub(super) fn tell_operation<S>(&self, inner: &Id, recorded: &Fields, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if status_failed(recorded) {
            let message = status_message(recorded).unwrap_or_default();
            let kind = recorded.text(&["error.type"]).unwrap_or_default();
            self.fail_operation(inner, context, kind, message);
        }
    }
}
