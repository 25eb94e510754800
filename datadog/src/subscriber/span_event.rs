//! Events as events of their spans.

use datadog_trace::{EventValue, SpanEvent};
use tracing_core::Metadata;

use super::fields::Fields;
use super::http::HttpOptions;
use super::names::DB_SYSTEM;
use super::shown::shown;
use super::stored::FieldValue;

/// The event, with its fields as attributes, and an error by OpenTelemetry's names.
pub(super) fn span_event(
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
