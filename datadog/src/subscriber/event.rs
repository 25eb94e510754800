//! What becomes of events: [logs](super::log_record), [events of spans](super::span_event), failures of spans, and
//! [spans of statements](super::statement).

use datadog_transport::diagnostics::is_own;
use tracing_core::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::callsite::Callsite;
use super::fields::Fields;
use super::layer::DDTracingLayer;
use super::operation::tells_failure;
use super::rules::Rule;
use super::span_event::span_event;
use super::statement::Statement;
use super::{failure, http};
use crate::patch::report_once;

/// The events that tell the span of a request how it was answered: tower-http 0.7, `src/trace/on_response.rs` and
/// `src/trace/on_failure.rs`; poem 3.1, `src/middleware/tracing_mw.rs`; warp 0.4, `src/filters/trace.rs`.
const RESPONSES: [&str; 4] = [
    "tower_http::trace::on_response",
    "tower_http::trace::on_failure",
    "poem::middleware::tracing_mw",
    "warp::filters::trace",
];

/// Where tracing-actix-web 0.7 tells what it has told the span of the request, in other words: `src/middleware.rs`.
const ERRORS_TOLD: &str = "tracing_actix_web::middleware";

impl DDTracingLayer {
    pub(super) fn take_event<S>(&self, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = event.metadata();
        let target = metadata.target();
        let logged = *metadata.level() <= self.log_level;
        let responds = RESPONSES.contains(&target);
        let is_error = self.failing_events && *metadata.level() == Level::ERROR;
        let fails = (is_error && target != ERRORS_TOLD) || tells_failure(target);
        let statement = Statement::of(target);
        let tells = fails || responds || self.span_events;
        if !(logged || tells || statement.is_some()) || is_own(target) {
            return;
        }
        if self.probe.is_due() {
            report_once(&self.probe);
        }
        let mut fields = Fields::take();
        event.record(&mut fields.record_as(Rule::of(target)));
        // Options say which status is a failure, whatever level the library tells it on.
        let answer = responds.then(|| http::answer(&fields)).flatten();
        let fails = answer.map_or(fails, |status| self.http.is_error(false, status));
        // What came from the `log` crate says its target in a field.
        let target = fields.text(&["log.target"]).unwrap_or(target);
        if !is_own(target) {
            if tells {
                self.tell_span(event, &fields, answer, fails, context);
            }
            if let Some(statement) = statement {
                self.trace_statement(statement, &fields, context);
            }
            if logged {
                self.write_log(event, target, &fields, context);
            }
        }
        fields.give_back();
    }

    /// Tells the span of an event what the event says about it, with the status of the `answer` that it tells of. That is the
    /// nearest one that is sent; what a library says is for its own span only.
    fn tell_span<S>(
        &self,
        event: &Event<'_>,
        fields: &Fields,
        answer: Option<u16>,
        fails: bool,
        context: &Context<'_, S>,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let of_library = Rule::of(event.metadata().target()).map(|rule| rule.module);
        let (kind, message) = match answer {
            Some(_) => ("", failure::reason(fields).unwrap_or_default()),
            None => failure::of_event(fields),
        };
        for (above, span) in context.event_scope(event).into_iter().flatten().enumerate() {
            let of_span = span.metadata();
            let callsite = Callsite::of(of_span);
            let told = self.slots.with(&span.id(), context, |open| {
                if fails {
                    open.fail(kind, message);
                }
                if above == 0
                    && let Some(status) = answer
                {
                    // By Datadog's name, as the span may be one of the program's, whose fields are tags as they are.
                    let write = |buffer: &mut String| buffer.push_str(&status.to_string());
                    open.fields.set_text("http.status_code", write);
                    open.apply(of_span.name(), callsite, &self.http);
                }
                if self.span_events {
                    open.add_event(|| span_event(event.metadata(), fields, &self.http));
                }
            });
            if told.is_some() {
                if fails && callsite.is_inner() {
                    self.fail_operation(&span.id(), context, kind, message);
                }
                return;
            }
            let of_span = callsite.rule.map(|rule| rule.module);
            if of_library.is_some() && of_library == of_span {
                return;
            }
        }
    }
}
