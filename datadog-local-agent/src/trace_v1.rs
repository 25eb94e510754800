//! Traces: the v1.0 payload, decoded strictly into the same spans as v0.4.
//!
//! The form is that of the trace-agent's decoder (`datadog-agent: pkg/proto/pbgo/trace/idx`); the tags that v0.4 would have
//! instead of the fields of chunks are those of the APM test agent (`dd-apm-test-agent: ddapm_test_agent/trace.py`), on
//! the first span of each chunk alone.

use std::collections::{BTreeMap, HashSet};

use rmpv::Value;

use crate::trace::{Attribute, Span, SpanEvent, SpanLink, check_events_tag, share_trace_id};
use crate::value;

// The types of attributes (`datadog-agent: pkg/proto/pbgo/trace/idx/span.go`, UnmarshalAnyValue).
const TEXT: u64 = 1;
const BOOL: u64 = 2;
const DOUBLE: u64 = 3;
const INT: u64 = 4;
const BYTES: u64 = 5;
const LIST: u64 = 6;

/// The values of the field `kind`, from 1 on (`datadog-agent: pkg/proto/datadog/trace/idx/span.proto`, SpanKind).
const SPAN_KINDS: [&str; 5] = ["internal", "server", "client", "producer", "consumer"];

/// Decodes the body of a `/v1.0/traces` request.
pub(crate) fn chunks(body: &[u8]) -> Result<Vec<Vec<Span>>, String> {
    let mut strings = Strings::default();
    let mut process = Attributes::default();
    let mut chunks = None;
    let mut known = HashSet::new();
    for (field, value) in fields(value::msgpack(body)?)? {
        known.insert(field);
        in_field(field, || {
            match field {
                1 => return Err("texts have to stand where they are used first".to_owned()),
                3 => process.text("language", strings.filled(value)?)?,
                6 => process.text("runtime-id", strings.filled(value)?)?,
                8 => process.text("_dd.hostname", strings.filled(value)?)?,
                2 | 4 | 5 | 7 | 9 => {
                    strings.filled(value)?;
                }
                10 => process.read(value, &mut strings)?,
                11 => chunks = Some(strings.each(value, "chunk", chunk)?),
                _ => return Err("it is unknown".to_owned()),
            }
            Ok(())
        })?;
    }
    if let Some(field) = [3, 5, 6].iter().find(|field| !known.contains(*field)) {
        return Err(format!("field {field} is missing"));
    }
    let mut chunks = chunks.ok_or("field 11 is missing")?;
    for first in chunks.iter_mut().filter_map(|spans| spans.first_mut()) {
        process.clone().add_to(first);
    }
    Ok(chunks)
}

fn chunk(value: Value, strings: &mut Strings) -> Result<Vec<Span>, String> {
    let mut spans = None;
    let mut trace_id = None;
    let mut tags = Attributes::default();
    for (field, value) in fields(value)? {
        in_field(field, || {
            match field {
                1 => {
                    let priority = value::signed(value)?;
                    let priority = i32::try_from(priority).map_err(|_| "expected 32 bits")?;
                    tags.number("_sampling_priority_v1", priority.into())?;
                }
                2 => tags.text("_dd.origin", strings.filled(value)?)?,
                3 => tags.read(value, strings)?,
                4 => spans = Some(strings.each(value, "span", span)?),
                5 => return Err("it is the agent's to say what was dropped".to_owned()),
                6 => trace_id = Some(id_128(value)?),
                7 => {
                    let maker = format!("-{}", value::unsigned_32(value)?);
                    tags.text("_dd.p.dm", maker)?;
                }
                _ => return Err("it is unknown".to_owned()),
            }
            Ok(())
        })?;
    }
    let mut spans = spans.ok_or("field 4 is missing")?;
    let trace_id = trace_id.ok_or("field 6 is missing")?;
    let high = (trace_id >> 64) as u64;
    if high != 0 {
        tags.text("_dd.p.tid", format!("{high:016x}"))?;
    }
    for span in &mut spans {
        span.trace_id = trace_id as u64;
    }
    if let Some(first) = spans.first_mut() {
        tags.add_to(first);
    }
    share_trace_id(&mut spans)?;
    Ok(spans)
}

fn span(value: Value, strings: &mut Strings) -> Result<Span, String> {
    let mut span = Span::default();
    let mut tags = Attributes::default();
    let mut known = HashSet::new();
    for (field, value) in fields(value)? {
        known.insert(field);
        in_field(field, || {
            match field {
                1 => span.service = strings.filled(value)?,
                2 => span.name = strings.filled(value)?,
                3 => span.resource = strings.filled(value)?,
                4 => span.span_id = value::id(value)?,
                5 => span.parent_id = value::unsigned(value)?,
                6 => span.start_ns = value::positive(value)?,
                7 => span.duration_ns = value::not_negative(value)?,
                8 => span.error = value::boolean(value)?.into(),
                9 => tags.read(value, strings)?,
                10 => span.type_ = strings.text(value)?,
                11 => span.span_links = strings.each(value, "span link", link)?,
                12 => span.span_events = strings.each(value, "span event", event)?,
                13 => tags.text("env", strings.text(value)?)?,
                14 => tags.text("version", strings.text(value)?)?,
                15 => tags.text("component", strings.text(value)?)?,
                16 => tags.text("span.kind", span_kind(value)?)?,
                _ => return Err("it is unknown".to_owned()),
            }
            Ok(())
        })?;
    }
    if let Some(field) = [1, 2, 3, 4, 6].iter().find(|field| !known.contains(*field)) {
        return Err(format!("field {field} is missing"));
    }
    tags.add_to(&mut span);
    check_events_tag(&span)?;
    Ok(span)
}

fn span_kind(value: Value) -> Result<String, String> {
    let number = value::unsigned(value)?;
    let at = usize::try_from(number.wrapping_sub(1)).unwrap_or(usize::MAX);
    let kind = SPAN_KINDS.get(at);
    let kind = kind.ok_or_else(|| format!("expected a number from 1 to 5, got {number}"))?;
    Ok((*kind).to_owned())
}

fn link(value: Value, strings: &mut Strings) -> Result<SpanLink, String> {
    let mut link = SpanLink::default();
    for (field, value) in fields(value)? {
        in_field(field, || {
            match field {
                1 => {
                    let id = id_128(value)?;
                    (link.trace_id, link.trace_id_high) = (id as u64, (id >> 64) as u64);
                }
                2 => link.span_id = value::id(value)?,
                3 => {
                    let mut attributes = Attributes::default();
                    attributes.read(value, strings)?;
                    if !attributes.numbers.is_empty() || !attributes.structs.is_empty() {
                        return Err("an attribute of a link has to be text".to_owned());
                    }
                    link.attributes = attributes.texts.into_iter().collect();
                }
                4 => link.tracestate = strings.text(value)?,
                5 => link.flags = value::unsigned_32(value)?,
                _ => return Err("it is unknown".to_owned()),
            }
            Ok(())
        })?;
    }
    if link.span_id == 0 || link.trace_id == 0 {
        return Err("field 1 or 2 is missing".to_owned());
    }
    Ok(link)
}

fn event(value: Value, strings: &mut Strings) -> Result<SpanEvent, String> {
    let mut event = SpanEvent::default();
    for (field, value) in fields(value)? {
        in_field(field, || {
            match field {
                1 => event.time_unix_nano = value::unsigned(value)?,
                2 => event.name = strings.filled(value)?,
                3 => strings.triples(value, |key, kind, value, strings| {
                    let attribute = attribute(kind, value, strings)?;
                    once(event.attributes.insert(key, attribute))
                })?,
                _ => return Err("it is unknown".to_owned()),
            }
            Ok(())
        })?;
    }
    if event.name.is_empty() {
        return Err("field 2 is missing".to_owned());
    }
    Ok(event)
}

/// A value of an event's attribute, by the number of its type.
fn attribute(kind: u64, value: Value, strings: &mut Strings) -> Result<Attribute, String> {
    if kind != LIST {
        return single(kind, value, strings);
    }
    let mut attributes = Vec::new();
    let mut values = value::list(value, "types and values")?.into_iter();
    while let Some(kind) = values.next() {
        let kind = value::unsigned(kind)?;
        let value = values.next().ok_or("the last value is missing")?;
        attributes.push(single(kind, value, strings)?);
    }
    Ok(Attribute::Array(attributes))
}

fn single(kind: u64, value: Value, strings: &mut Strings) -> Result<Attribute, String> {
    Ok(match kind {
        TEXT => Attribute::Text(strings.text(value)?),
        BOOL => Attribute::Bool(value::boolean(value)?),
        DOUBLE => Attribute::Double(value::number(value)?),
        INT => Attribute::Int(value::signed(value)?),
        other => return Err(format!("{other} is not an attribute type here")),
    })
}

/// Attributes of all but events. Those of spans are tags, so no key may come twice, whatever the types.
#[derive(Clone, Debug, Default)]
struct Attributes {
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, f64>,
    structs: BTreeMap<String, Vec<u8>>,
}

impl Attributes {
    fn read(&mut self, value: Value, strings: &mut Strings) -> Result<(), String> {
        strings.triples(value, |key, kind, value, strings| match kind {
            TEXT => self.text(&key, strings.text(value)?),
            DOUBLE => self.number(&key, value::number(value)?),
            BYTES => {
                let known = self.has(&key).then_some(());
                self.structs.insert(key, value::packed_map(value)?);
                once(known)
            }
            other => Err(format!("{other} is not an attribute type here")),
        })
    }

    fn text(&mut self, key: &str, text: String) -> Result<(), String> {
        let known = self.has(key).then_some(());
        self.texts.insert(key.to_owned(), text);
        once(known)
    }

    fn number(&mut self, key: &str, number: f64) -> Result<(), String> {
        let known = self.has(key).then_some(());
        self.numbers.insert(key.to_owned(), number);
        once(known)
    }

    fn has(&self, key: &str) -> bool {
        self.texts.contains_key(key)
            || self.numbers.contains_key(key)
            || self.structs.contains_key(key)
    }

    /// Makes them tags of a span. What it says itself wins.
    fn add_to(self, span: &mut Span) {
        for (key, text) in self.texts {
            if span.tag(&key).is_none() {
                span.meta.insert(key, text);
            }
        }
        for (key, number) in self.numbers {
            if span.tag(&key).is_none() {
                span.metrics.insert(key, number);
            }
        }
        span.meta_struct.extend(self.structs);
    }
}

/// The texts of a payload so far: each stands once, and after that its number stands for it. 0 is the empty text.
#[derive(Debug, Default)]
struct Strings {
    numbered: Vec<String>,
    known: HashSet<String>,
}

impl Strings {
    fn text(&mut self, value: Value) -> Result<String, String> {
        if let Some(number) = value.as_u64() {
            let Some(before) = number.checked_sub(1) else {
                return Ok(String::new());
            };
            let text = usize::try_from(before)
                .ok()
                .and_then(|at| self.numbered.get(at));
            let count = self.numbered.len();
            return text
                .cloned()
                .ok_or_else(|| format!("there is no text {number} yet, only {count}"));
        }
        let text = value::text(value)?;
        if text.is_empty() {
            return Err("the empty text has to be the number 0".to_owned());
        }
        if !self.known.insert(text.clone()) {
            return Err("a text that came before has to be its number".to_owned());
        }
        self.numbered.push(text.clone());
        Ok(text)
    }

    fn filled(&mut self, value: Value) -> Result<String, String> {
        let text = self.text(value)?;
        if text.is_empty() {
            return Err("expected text, got an empty one".to_owned());
        }
        Ok(text)
    }

    /// A list with each of its values read; `of` names one.
    fn each<T>(
        &mut self,
        value: Value,
        of: &str,
        read: fn(Value, &mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let values = value::list(value, of)?.into_iter().enumerate();
        values
            .map(|(at, value)| read(value, self).map_err(|reason| format!("{of} {at}: {reason}")))
            .collect()
    }

    /// A list of keys, types and values, one behind the other.
    fn triples(
        &mut self,
        value: Value,
        mut read: impl FnMut(String, u64, Value, &mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut values = value::list(value, "keys, types and values")?.into_iter();
        while let Some(key) = values.next() {
            let key = self.text(key).map_err(|reason| format!("key: {reason}"))?;
            let (Some(kind), Some(value)) = (values.next(), values.next()) else {
                return Err(format!("key `{key}`: its type or value is missing"));
            };
            value::unsigned(kind)
                .and_then(|kind| read(key.clone(), kind, value, self))
                .map_err(|reason| format!("key `{key}`: {reason}"))?;
        }
        Ok(())
    }
}

/// Fails if there was something before.
fn once<T>(before: Option<T>) -> Result<(), String> {
    match before {
        Some(_) => Err("it comes twice".to_owned()),
        None => Ok(()),
    }
}

/// The fields of a map with numbers as keys, none twice, in the order sent.
fn fields(value: Value) -> Result<Vec<(u64, Value)>, String> {
    let Value::Map(pairs) = value else {
        return Err(format!("expected a map, got {}", value::kind(&value)));
    };
    let mut known = HashSet::new();
    let mut fields = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let field = value::unsigned(key).map_err(|reason| format!("field: {reason}"))?;
        if !known.insert(field) {
            return Err(format!("field {field} comes twice"));
        }
        fields.push((field, value));
    }
    Ok(fields)
}

/// Says of a failure in which field it is.
fn in_field(field: u64, read: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    read().map_err(|reason| format!("field {field}: {reason}"))
}

/// A trace id: 16 bytes whose lower half, which older clients know alone, is not zero.
fn id_128(value: Value) -> Result<u128, String> {
    let Value::Binary(bytes) = &value else {
        return Err(format!("expected bin, got {}", value::kind(&value)));
    };
    match <[u8; 16]>::try_from(bytes.as_slice()).map(u128::from_be_bytes) {
        Ok(id) if id as u64 != 0 => Ok(id),
        Ok(_) => Err("the lower half of a trace id is zero".to_owned()),
        Err(_) => Err(format!("expected 16 bytes, got {}", bytes.len())),
    }
}
