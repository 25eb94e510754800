//! Payloads of v1.0 encoded anew as v0.4, for an agent that turns out to be too old while they wait.

use datadog_transport::{Part, Payload};
use serde_json::{Map, Value, json};

use super::v1::{SPAN_KINDS, kind};
use super::v04::{self, Pairs, number, text};
use crate::msgpack;
use crate::msgpack::Reader;

/// Whether a payload of traces is one of v1.0: a map, and no list.
pub(crate) fn is_v1(payload: &Payload) -> bool {
    payload
        .body()
        .first()
        .is_some_and(|first| first & 0xf0 == 0x80)
}

/// The same traces as v0.4, with events as a tag, which agents of all versions understand. `None` for what this
/// client did not encode.
pub(crate) fn to_v04(payload: &Payload) -> Option<Payload> {
    let mut source = Source {
        reader: Reader::new(payload.body()),
        strings: vec![""],
    };
    let mut body = vec![0; v04::HEAD_BYTES];
    let mut parts = Vec::new();
    let mut process = Vec::new();
    for _ in 0..source.reader.map()? {
        match source.reader.uint()? {
            3 => process.push(("language", source.text()?)),
            6 => process.push(("runtime-id", source.text()?)),
            8 => process.push(("_dd.hostname", source.text()?)),
            10 => process.extend(source.attributes()?.texts),
            // It comes last.
            11 => {
                for _ in 0..source.reader.array()? {
                    let start = body.len();
                    let items = source.chunk(&mut body, &process)?;
                    let bytes = start..body.len();
                    parts.push(Part { bytes, items });
                }
            }
            _ => {
                source.text()?;
            }
        }
    }
    Some(v04::list(body, payload.headers().clone(), parts))
}

struct Source<'a> {
    reader: Reader<'a>,
    strings: Vec<&'a str>,
}

/// The facts of a chunk that v0.4 has as tags of its first span.
#[derive(Default)]
struct Head<'a> {
    trace_id: u128,
    priority: f64,
    texts: Vec<(&'static str, String)>,
    process: &'a [(&'a str, &'a str)],
}

#[derive(Default)]
struct Attributes<'a> {
    texts: Vec<(&'a str, &'a str)>,
    numbers: Vec<(&'a str, f64)>,
    structs: Vec<(&'a str, &'a [u8])>,
}

#[derive(Default)]
struct Span<'a> {
    /// Fields 1 to 3.
    names: [&'a str; 3],
    /// Fields 4 to 7.
    numbers: [u64; 4],
    error: bool,
    span_type: Option<&'a str>,
    tags: Attributes<'a>,
    links: Vec<Link<'a>>,
    events: Vec<Value>,
}

#[derive(Default)]
struct Link<'a> {
    trace_id: u128,
    span_id: u64,
    attributes: Vec<(&'a str, &'a str)>,
    tracestate: &'a str,
    flags: u64,
}

impl<'a> Source<'a> {
    /// Writes a chunk. Returns how many spans it has.
    fn chunk(&mut self, out: &mut Vec<u8>, process: &[(&str, &str)]) -> Option<u64> {
        let mut head = Head {
            process,
            ..Head::default()
        };
        let mut spans = 0;
        for _ in 0..self.reader.map()? {
            match self.reader.uint()? {
                1 => head.priority = self.reader.int()? as f64,
                2 => {
                    let origin = self.text()?.to_owned();
                    head.texts.push(("_dd.origin", origin));
                }
                // It comes last.
                4 => {
                    spans = self.reader.array()?;
                    msgpack::array(out, spans);
                    for at in 0..spans {
                        let span = self.span()?;
                        span.write(out, &head, at == 0);
                    }
                }
                6 => head.trace_id = self.trace_id()?,
                7 => {
                    let maker = format!("-{}", self.reader.uint()?);
                    head.texts.push(("_dd.p.dm", maker));
                }
                _ => return None,
            }
        }
        Some(spans as u64)
    }

    fn span(&mut self) -> Option<Span<'a>> {
        let mut span = Span::default();
        for _ in 0..self.reader.map()? {
            match self.reader.uint()? {
                field @ 1..=3 => span.names[field as usize - 1] = self.text()?,
                field @ 4..=7 => span.numbers[field as usize - 4] = self.reader.uint()?,
                8 => span.error = self.reader.bool()?,
                9 => span.tags = self.attributes()?,
                10 => span.span_type = Some(self.text()?),
                11 => span.links = self.list(Self::link)?,
                12 => span.events = self.list(Self::event)?,
                13 => span.tags.texts.push(("env", self.text()?)),
                14 => span.tags.texts.push(("version", self.text()?)),
                15 => span.tags.texts.push(("component", self.text()?)),
                16 => {
                    let at = usize::try_from(self.reader.uint()?).ok()?;
                    let kind = SPAN_KINDS.get(at.checked_sub(1)?)?;
                    span.tags.texts.push(("span.kind", kind));
                }
                _ => return None,
            }
        }
        Some(span)
    }

    fn link(&mut self) -> Option<Link<'a>> {
        let mut link = Link::default();
        for _ in 0..self.reader.map()? {
            match self.reader.uint()? {
                1 => link.trace_id = self.trace_id()?,
                2 => link.span_id = self.reader.uint()?,
                3 => link.attributes = self.attributes()?.texts,
                4 => link.tracestate = self.text()?,
                5 => link.flags = self.reader.uint()?,
                _ => return None,
            }
        }
        Some(link)
    }

    fn event(&mut self) -> Option<Value> {
        let (mut time, mut name, mut attributes) = (0, "", Map::new());
        for _ in 0..self.reader.map()? {
            match self.reader.uint()? {
                1 => time = self.reader.uint()?,
                2 => name = self.text()?,
                3 => {
                    for _ in 0..self.reader.array()? / 3 {
                        let key = self.text()?.to_owned();
                        attributes.insert(key, self.value()?);
                    }
                }
                _ => return None,
            }
        }
        Some(json!({"name": name, "time_unix_nano": time, "attributes": attributes}))
    }

    /// The value of an event's attribute.
    fn value(&mut self) -> Option<Value> {
        Some(match self.reader.uint()? {
            kind::TEXT => json!(self.text()?),
            kind::BOOL => json!(self.reader.bool()?),
            kind::DOUBLE => json!(self.reader.float()?),
            kind::INT => json!(self.reader.int()?),
            kind::LIST => {
                let values = self.reader.array()? / 2;
                Value::Array((0..values).map(|_| self.value()).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// Attributes of all but events, which have no lists.
    fn attributes(&mut self) -> Option<Attributes<'a>> {
        let mut attributes = Attributes::default();
        for _ in 0..self.reader.array()? / 3 {
            let key = self.text()?;
            match self.reader.uint()? {
                kind::TEXT => attributes.texts.push((key, self.text()?)),
                kind::DOUBLE => attributes.numbers.push((key, self.reader.float()?)),
                kind::BYTES => attributes.structs.push((key, self.reader.bin()?)),
                _ => return None,
            }
        }
        Some(attributes)
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.reader.array()?;
        (0..length).map(|_| read(self)).collect()
    }

    fn trace_id(&mut self) -> Option<u128> {
        Some(u128::from_be_bytes(self.reader.bin()?.try_into().ok()?))
    }

    /// A text, or the number of one that was there before.
    fn text(&mut self) -> Option<&'a str> {
        if self.reader.next_is_str() {
            let text = self.reader.str()?;
            self.strings.push(text);
            return Some(text);
        }
        let number = usize::try_from(self.reader.uint()?).ok()?;
        self.strings.get(number).copied()
    }
}

impl Span<'_> {
    fn write(&self, out: &mut Vec<u8>, head: &Head<'_>, is_first: bool) {
        let structs = &self.tags.structs;
        let optional = [
            self.span_type.is_some(),
            !self.links.is_empty(),
            !structs.is_empty(),
        ];
        msgpack::map(out, 11 + optional.iter().filter(|has| **has).count());
        for (key, name) in ["service", "name", "resource"].into_iter().zip(self.names) {
            text(out, key, name);
        }
        number(out, "trace_id", head.trace_id as u64);
        let keys = ["span_id", "parent_id", "start", "duration"];
        for (key, value) in keys.into_iter().zip(self.numbers) {
            number(out, key, value);
        }
        number(out, "error", u64::from(self.error));
        if let Some(span_type) = self.span_type {
            text(out, "type", span_type);
        }
        let first_of = is_first.then_some(head);
        self.write_tags(out, first_of);
        if !self.links.is_empty() {
            msgpack::str(out, "span_links");
            msgpack::array(out, self.links.len());
            self.links.iter().for_each(|link| link.write(out));
        }
        if !structs.is_empty() {
            msgpack::str(out, "meta_struct");
            msgpack::map(out, structs.len());
            for (key, map) in structs {
                msgpack::str(out, key);
                msgpack::bin(out, map);
            }
        }
    }

    fn write_tags(&self, out: &mut Vec<u8>, first_of: Option<&Head<'_>>) {
        let mut meta = Pairs::start(out, v04::META);
        for (key, value) in &self.tags.texts {
            meta.text(key, value);
        }
        // What the span says itself wins.
        let mut add = |key: &str, value: &str| {
            if !self.has_tag(key) {
                meta.text(key, value);
            }
        };
        if !self.events.is_empty() {
            add("events", &Value::from(self.events.as_slice()).to_string());
        }
        if let Some(head) = first_of {
            for (key, value) in head.process {
                add(key, value);
            }
            for (key, value) in &head.texts {
                add(key, value);
            }
            let high_id = (head.trace_id >> 64) as u64;
            if high_id != 0 {
                add("_dd.p.tid", &format!("{high_id:016x}"));
            }
        }
        meta.end();
        let mut metrics = Pairs::start(out, v04::METRICS);
        for (key, value) in &self.tags.numbers {
            metrics.number(key, *value);
        }
        if let Some(head) = first_of
            && !self.has_tag(v04::PRIORITY)
        {
            metrics.number(v04::PRIORITY, head.priority);
        }
        metrics.end();
    }

    fn has_tag(&self, key: &str) -> bool {
        self.tags.texts.iter().any(|(known, _)| *known == key)
            || self.tags.numbers.iter().any(|(known, _)| *known == key)
    }
}

impl Link<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        msgpack::map(out, 6);
        number(out, "trace_id", self.trace_id as u64);
        number(out, "trace_id_high", (self.trace_id >> 64) as u64);
        number(out, "span_id", self.span_id);
        msgpack::str(out, "attributes");
        msgpack::map(out, self.attributes.len());
        for (key, value) in &self.attributes {
            text(out, key, value);
        }
        text(out, "tracestate", self.tracestate);
        number(out, "flags", self.flags);
    }
}
