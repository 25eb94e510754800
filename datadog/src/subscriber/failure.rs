//! What fields say of a failure.

use super::fields::Fields;
use super::stored::FieldValue;

/// What an event of level error says: the kind of the error and a message.
pub(super) fn of_event(fields: &Fields) -> (&str, &str) {
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
pub(super) fn reason(fields: &Fields) -> Option<&str> {
    let text = fields.text(&["error"])?;
    match text.strip_prefix("Some(") {
        Some(text) => text.strip_suffix(')'),
        None => Some(text).filter(|text| *text != "None"),
    }
}

/// Whether a field `error` or `err` is a tag beside what it says of the failure.
pub(super) fn tells_more(value: FieldValue<'_>) -> bool {
    match value {
        FieldValue::Text(text) => !text.is_empty(),
        FieldValue::Bool(_) => false,
        _ => true,
    }
}

/// Whether a field `error` or `err` with no text says that the span failed: a code of an error, which is 0 if there is none.
pub(super) fn is_failure(value: FieldValue<'_>) -> bool {
    match value {
        FieldValue::Text(_) => false,
        FieldValue::Bool(truth) => truth,
        FieldValue::Int(number) => number != 0,
        FieldValue::UInt(number) => number != 0,
        FieldValue::Float(number) => number != 0.0,
    }
}

/// Whether OpenTelemetry's status says that the span failed.
pub(super) fn status_failed(fields: &Fields) -> bool {
    let status = fields.text(&["otel.status_code"]);
    status.is_some_and(|status| status.eq_ignore_ascii_case("error"))
}

/// What is said to OpenTelemetry's status.
pub(super) fn status_message(fields: &Fields) -> Option<&str> {
    fields.text(&["otel.status_message", "otel.status_description"])
}
