//! What becomes of events: logs, events of spans, failures of spans, and [spans of statements](super::statement).

use std::thread;

use datadog_logs::{Level, Record, Value};
use datadog_trace::{EventValue, SpanEvent, SpanKey};
use datadog_transport::diagnostics::is_own;
use tracing_core::{Event, Level as EventLevel, Metadata, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::callsite::Callsite;
use super::fields::Fields;
use super::http::{self, HttpOptions};
use super::layer::DDTracingLayer;
use super::names::DB_SYSTEM;
use super::open_span::OpenSpan;
use super::operation::tells_failure;
use super::rules::Rule;
use super::shown::shown;
use super::statement::Statement;
use super::stored::FieldValue;
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
        let is_error = self.failing_events && *metadata.level() == EventLevel::ERROR;
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
                self.tell_span(event, &fields, fails, context);
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

    /// Tells the span of an event what the event says about it. That is the nearest one that is sent; what a library says
    /// is for its own span only.
    fn tell_span<S>(
        &self,
        event: &Event<'_>,
        fields: &Fields,
        fails: bool,
        context: &Context<'_, S>,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let target = event.metadata().target();
        let of_library = Rule::of(target).map(|rule| rule.module);
        let answer = RESPONSES
            .contains(&target)
            .then(|| http::answer(fields))
            .flatten();
        let (kind, message) = match answer {
            Some(_) => ("", reason(fields).unwrap_or_default()),
            None => failure(fields),
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

    fn write_log<S>(
        &self,
        event: &Event<'_>,
        target: &str,
        fields: &Fields,
        context: &Context<'_, S>,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = event.metadata();
        // Correlated with the span that the event names, wherever it happens.
        let named = (!event.is_contextual()).then(|| self.activate_named(event, context));
        let message = fields.text(&["message"]).unwrap_or_else(|| metadata.name());
        let mut record = self
            .logs
            .log(level(*metadata.level()), message)
            .with("logger.name", target);
        record = with_place(record, metadata, target, fields);
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            let mut changed = Some(record);
            self.slots.with(&span.id(), context, |open| {
                changed = changed
                    .take()
                    .map(|record| with_fields(record, &open.fields, &self.http));
            });
            let Some(same) = changed else { return };
            record = same;
        }
        record = with_fields(record, fields, &self.http);
        drop(record);
        if let Some(key) = named.flatten() {
            key.deactivate();
        }
    }

    /// Makes the span active that an event names, or the nearest one above it that is sent. The key that undoes it.
    fn activate_named<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> Option<SpanKey>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut scope = context.event_scope(event)?;
        scope.find_map(|span| {
            let key = self.key(&span.id());
            let activate = |open: &mut OpenSpan| open.span.activate_as(key);
            let is_sent = self.slots.with(&span.id(), context, activate).is_some();
            (is_sent || self.enter_left_out(&span.id(), context)).then_some(key)
        })
    }
}

/// What an event of level error says: the kind of the error and a message.
fn failure(fields: &Fields) -> (&str, &str) {
    match fields.error() {
        Some(report) => (&report.kind, &report.message),
        None => (
            fields.text(&["exception.type"]).unwrap_or_default(),
            fields
                .text(&[fields.error_key().unwrap_or("message")])
                .unwrap_or_default(),
        ),
    }
}

/// Why a request was answered so, if that is said. warp writes it as an `Option`.
fn reason(fields: &Fields) -> Option<&str> {
    let text = fields.text(&["error"])?;
    match text.strip_prefix("Some(") {
        Some(text) => text.strip_suffix(')'),
        None => Some(text).filter(|text| *text != "None"),
    }
}

fn level(level: EventLevel) -> Level {
    match level {
        EventLevel::ERROR => Level::Error,
        EventLevel::WARN => Level::Warning,
        EventLevel::INFO => Level::Info,
        _ => Level::Debug,
    }
}

/// Adds where the event stands in the source, and on which thread.
fn with_place(
    mut record: Record,
    metadata: &Metadata<'_>,
    target: &str,
    fields: &Fields,
) -> Record {
    let from_log = fields.get("log.target").is_some();
    let module = match from_log {
        true => fields.text(&["log.module_path"]),
        false => metadata.module_path(),
    };
    let file = match from_log {
        true => fields.text(&["log.file"]),
        false => metadata.file(),
    };
    let line = match from_log {
        true => fields.number(&["log.line"]).map(|line| line as u32),
        false => metadata.line(),
    };
    if let Some(module) = module.filter(|module| *module != target) {
        record = record.with("code.namespace", module);
    }
    if let Some(file) = file {
        record = record.with("code.file.path", file);
    }
    if let Some(line) = line {
        record = record.with("code.line.number", line);
    }
    match thread::current().name() {
        Some(name) => record.with("logger.thread_name", name),
        None => record,
    }
}

/// Adds fields as attributes, and an error by Datadog's standard names.
fn with_fields(mut record: Record, fields: &Fields, http: &HttpOptions) -> Record {
    let error_key = fields.error_key();
    let db_system = fields.text(DB_SYSTEM);
    for (key, value) in fields.iter() {
        record = match key {
            "message" => record,
            key if error_key == Some(key) => record.with("error.message", value.to::<Value<'_>>()),
            "exception.type" => record.with("error.kind", value.to::<Value<'_>>()),
            "exception.stacktrace" => record.with("error.stack", value.to::<Value<'_>>()),
            key if ["log.", "dd.", "otel."]
                .iter()
                .any(|own| key.starts_with(own)) =>
            {
                record
            }
            key => match value {
                FieldValue::Text(text) => match shown(key, text, db_system, http) {
                    Some(text) => record.with(key, &*text),
                    None => record,
                },
                value => record.with(key, value.to::<Value<'_>>()),
            },
        };
    }
    if let Some(report) = fields.error() {
        record = record.with("error.kind", &report.kind);
        if let Some(stack) = report.stack.as_ref().filter(|stack| !stack.has_backtrace()) {
            record = record.with("error.stack", stack.to_string());
        }
    }
    record
}

fn span_event(
    metadata: &'static Metadata<'static>,
    fields: &Fields,
    http: &HttpOptions,
) -> SpanEvent {
    let mut event = match fields.text(&["message"]) {
        Some(message) => SpanEvent::new(message.to_owned()),
        None => SpanEvent::new(metadata.name()),
    };
    let target = match fields.text(&["log.target"]) {
        Some(target) => EventValue::from(target.to_owned()),
        None => EventValue::from(metadata.target()),
    };
    event = event
        .attribute("level", metadata.level().as_str())
        .attribute("target", target);
    // The text of an error value has a standard name.
    let error_key = fields.error().and_then(|_| fields.error_key());
    let db_system = fields.text(DB_SYSTEM);
    for (key, value) in fields.iter() {
        if key == "message" || error_key == Some(key) || key.starts_with("log.") {
            continue;
        }
        event = match value {
            FieldValue::Text(text) => match shown(key, text, db_system, http) {
                Some(text) => event.attribute(key, text.into_owned()),
                None => event,
            },
            FieldValue::Int(number) => event.attribute(key, number),
            FieldValue::UInt(number) => match i64::try_from(number) {
                Ok(number) => event.attribute(key, number),
                Err(_) => event.attribute(key, number as f64),
            },
            FieldValue::Float(number) => event.attribute(key, number),
            FieldValue::Bool(truth) => event.attribute(key, truth),
        };
    }
    if let Some(report) = fields.error() {
        event = event
            .attribute("exception.type", report.kind.clone())
            .attribute("exception.message", report.message.clone());
    }
    event
}
