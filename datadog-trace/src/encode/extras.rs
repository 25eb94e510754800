//! The fields of v0.4 that few spans have: links, events and structured values
//! (datadog-agent: `pkg/proto/pbgo/trace/span.proto`).

use serde_json::{Map, Value, json};

use super::v04::{number, text};
use crate::event::{EventValue, SpanEvent, unix_nanos};
use crate::link::SpanLink;
use crate::msgpack;
use crate::span_data::Extras;

/// Says that a link's flags are known (datadog-agent: `pkg/proto/pbgo/trace/span.proto`, SpanLink).
const FLAGS_KNOWN: u64 = 1 << 31;

/// How many fields [`write()`] writes.
pub(super) fn fields(extras: &Extras, native_events: bool) -> usize {
    usize::from(!extras.links.is_empty())
        + usize::from(!extras.structs.is_empty())
        + usize::from(native_events && !extras.events.is_empty())
}

pub(super) fn write(out: &mut Vec<u8>, extras: &Extras, native_events: bool) {
    if !extras.links.is_empty() {
        msgpack::str(out, "span_links");
        msgpack::array(out, extras.links.len());
        extras.links.iter().for_each(|one| link(out, one));
    }
    if !extras.structs.is_empty() {
        msgpack::str(out, "meta_struct");
        msgpack::map(out, extras.structs.len());
        for (key, map) in &extras.structs {
            msgpack::str(out, key);
            msgpack::bin(out, map);
        }
    }
    if native_events && !extras.events.is_empty() {
        msgpack::str(out, "span_events");
        msgpack::array(out, extras.events.len());
        extras.events.iter().for_each(|one| event(out, one));
    }
}

fn event(out: &mut Vec<u8>, event: &SpanEvent) {
    msgpack::map(out, 3);
    text(out, "name", &event.name);
    number(out, "time_unix_nano", unix_nanos(event.time));
    msgpack::str(out, "attributes");
    msgpack::map(out, event.attributes.len());
    for (key, value) in &event.attributes {
        msgpack::str(out, key);
        attribute(out, value);
    }
}

/// A value with its type (datadog-agent: `pkg/proto/pbgo/trace/span.proto`, AttributeAnyValue).
fn attribute(out: &mut Vec<u8>, value: &EventValue) {
    let mut head = |kind: u64, field: &str| {
        msgpack::map(out, 2);
        number(out, "type", kind);
        msgpack::str(out, field);
    };
    match value {
        EventValue::Text(text) => {
            head(0, "string_value");
            msgpack::str(out, text);
        }
        EventValue::Bool(truth) => {
            head(1, "bool_value");
            msgpack::bool(out, *truth);
        }
        EventValue::Int(number) => {
            head(2, "int_value");
            msgpack::int(out, *number);
        }
        EventValue::Double(number) => {
            head(3, "double_value");
            msgpack::float(out, *number);
        }
        EventValue::List(values) => {
            head(4, "array_value");
            msgpack::map(out, 1);
            msgpack::str(out, "values");
            msgpack::array(out, flat(values).count());
            flat(values).for_each(|value| attribute(out, value));
        }
    }
}

/// The values of a list that are no lists themselves.
pub(super) fn flat(values: &[EventValue]) -> impl Iterator<Item = &EventValue> {
    let is_flat = |value: &&EventValue| !matches!(value, EventValue::List(_));
    values.iter().filter(is_flat)
}

/// The events as the tag `events`, which agents of all versions understand.
pub(super) fn events_tag(extras: &Extras) -> Option<String> {
    let events: Vec<Value> = extras.events.iter().map(event_json).collect();
    (!events.is_empty()).then(|| Value::Array(events).to_string())
}

fn link(out: &mut Vec<u8>, link: &SpanLink) {
    msgpack::map(out, 6);
    number(out, "trace_id", link.trace_id as u64);
    number(out, "trace_id_high", (link.trace_id >> 64) as u64);
    number(out, "span_id", link.span_id);
    msgpack::str(out, "attributes");
    msgpack::map(out, link.attributes.len());
    for (key, value) in &link.attributes {
        text(out, key, value);
    }
    text(out, "tracestate", &link.tracestate);
    number(out, "flags", flags(link));
}

pub(super) fn flags(link: &SpanLink) -> u64 {
    link.flags.map_or(0, |flags| FLAGS_KNOWN | u64::from(flags))
}

fn event_json(event: &SpanEvent) -> Value {
    let attributes: Map<String, Value> = event
        .attributes
        .iter()
        .map(|(key, one)| (key.clone().into_owned(), value(one)))
        .collect();
    json!({"name": event.name, "time_unix_nano": unix_nanos(event.time), "attributes": attributes})
}

fn value(one: &EventValue) -> Value {
    match one {
        EventValue::Text(text) => json!(text),
        EventValue::Bool(truth) => json!(truth),
        EventValue::Int(number) => json!(number),
        EventValue::Double(number) => json!(number),
        EventValue::List(values) => flat(values).map(value).collect(),
    }
}
