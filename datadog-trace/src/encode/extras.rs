//! The fields that few spans have: links, events and structured values
//! (datadog-agent: `pkg/proto/pbgo/trace/span.proto`).

use serde_json::{Map, Value, json};

use super::{number, text};
use crate::event::{EventValue, SpanEvent, unix_nanos};
use crate::link::SpanLink;
use crate::msgpack;
use crate::span_data::Extras;

/// Says that a link's flags are known (datadog-agent: `pkg/proto/pbgo/trace/span.proto`, SpanLink).
const FLAGS_KNOWN: u64 = 1 << 31;

/// How many fields [`write`] writes.
pub(super) fn fields(extras: &Extras) -> usize {
    usize::from(!extras.links.is_empty()) + usize::from(!extras.structs.is_empty())
}

pub(super) fn write(out: &mut Vec<u8>, extras: &Extras) {
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
}

/// The events as the tag `events`, which agents of all versions understand.
pub(super) fn events(extras: &Extras) -> Option<String> {
    let events: Vec<Value> = extras.events.iter().map(event).collect();
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
    let flags = link.flags.map_or(0, |flags| FLAGS_KNOWN | u64::from(flags));
    number(out, "flags", flags);
}

fn event(event: &SpanEvent) -> Value {
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
        EventValue::List(values) => {
            let flat = values
                .iter()
                .filter(|value| !matches!(value, EventValue::List(_)));
            flat.map(value).collect()
        }
    }
}
