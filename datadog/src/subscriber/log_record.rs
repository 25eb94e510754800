//! Events as logs.

use std::thread;

use datadog_logs::{Level, Record, Value};
use datadog_trace::SpanKey;
use tracing_core::{Event, Level as EventLevel, Metadata, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::http::HttpOptions;
use super::layer::DDTracingLayer;
use super::names::DB_SYSTEM;
use super::open_span::OpenSpan;
use super::shown::shown;
use super::stored::FieldValue;

impl DDTracingLayer {
    /// Writes an event as a log. `target` is that of the `log` crate's record, if it comes from one.
    pub(super) fn write_log<S>(
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
        let record = self
            .logs
            .log(level(*metadata.level()), message)
            .with("logger.name", target);
        let mut record = Some(with_place(record, metadata, target, fields));
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            self.slots.with(&span.id(), context, |open| {
                let outer = record.take();
                record = outer.map(|record| with_fields(record, &open.fields, &self.http));
            });
        }
        drop(record.map(|record| with_fields(record, fields, &self.http)));
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
    let (module, file, line) = match from_log {
        true => (
            fields.text(&["log.module_path"]),
            fields.text(&["log.file"]),
            fields.number(&["log.line"]).map(|line| line as u32),
        ),
        false => (metadata.module_path(), metadata.file(), metadata.line()),
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
