//! Traces as newer agents read them: `POST /v1.0/traces`, MessagePack maps with numbers as keys, texts written once
//! (datadog-agent: `pkg/proto/pbgo/trace/idx`; dd-trace-go: `ddtrace/tracer/payload_v1.go`).

use datadog_config::DDConfig;
use datadog_transport::RUSTC_VERSION;

use super::strings::Strings;
use super::{Encoder, extras, or_nameless};
use crate::batch::FinishedSpan;
use crate::event::{EventValue, SpanEvent, unix_nanos};
use crate::link::SpanLink;
use crate::msgpack;
use crate::span_data::Extras;
use crate::trace::Chunk;

/// The type of an attribute's value (datadog-agent: `pkg/proto/pbgo/trace/idx/span.go`, `UnmarshalAnyValue`).
pub(super) mod kind {
    pub(in crate::encode) const TEXT: u64 = 1;
    pub(in crate::encode) const BOOL: u64 = 2;
    pub(in crate::encode) const DOUBLE: u64 = 3;
    pub(in crate::encode) const INT: u64 = 4;
    pub(in crate::encode) const BYTES: u64 = 5;
    pub(in crate::encode) const LIST: u64 = 6;
}

/// The values of the tag `span.kind` that have a number, from 1 on.
pub(super) const SPAN_KINDS: [&str; 5] = ["internal", "server", "client", "producer", "consumer"];

/// The fields of a payload that say what this process is. All but the last are texts; field 1 would be the texts that
/// are not written in place.
#[derive(Debug)]
pub(super) struct Process {
    texts: Vec<(u64, String)>,
    attributes: Vec<(&'static str, String)>,
}

impl Process {
    /// `chunk_tags` are what v0.4 has on the first span of each chunk instead.
    pub(super) fn new(config: &DDConfig, chunk_tags: &[(&'static str, String)]) -> Self {
        let tag = |wanted: &str| {
            let mut tags = chunk_tags.iter();
            tags.find(|(key, _)| *key == wanted)
                .map(|(_, value)| &**value)
        };
        let texts = [
            (2, config.container_id()),
            (3, tag("language")),
            (4, Some(RUSTC_VERSION)),
            (5, Some(env!("CARGO_PKG_VERSION"))),
            (6, tag("runtime-id")),
            (7, config.env()),
            (8, tag("_dd.hostname")),
            (9, config.version()),
        ];
        let texts = texts.into_iter();
        let fields = ["language", "runtime-id", "_dd.hostname"];
        let others = chunk_tags.iter().filter(|(key, _)| !fields.contains(key));
        Self {
            texts: texts
                .filter_map(|(field, text)| Some((field, text?.to_owned())))
                .collect(),
            attributes: others.cloned().collect(),
        }
    }

    /// Writes all of a payload that comes before the chunks. Returns where their number stands, in 4 bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>, strings: &mut Strings) -> usize {
        let has_attributes = !self.attributes.is_empty();
        msgpack::map(out, self.texts.len() + usize::from(has_attributes) + 1);
        for (field, text) in &self.texts {
            msgpack::uint(out, *field);
            strings.write(out, text);
        }
        if has_attributes {
            msgpack::uint(out, 10);
            let mut attributes = Attributes::start(out, strings);
            for (key, value) in &self.attributes {
                attributes.text(key, value);
            }
            attributes.end();
        }
        msgpack::uint(out, 11);
        msgpack::array32(out, 0);
        out.len() - 4
    }
}

impl Encoder {
    /// Appends one chunk, its local root first.
    pub(super) fn chunk_v1(&self, out: &mut Vec<u8>, strings: &mut Strings, chunk: &Chunk) {
        let origin = chunk.upstream.as_ref();
        let origin = origin.and_then(|upstream| upstream.origin.as_deref());
        let mechanism = mechanism(chunk);
        let optional = usize::from(origin.is_some()) + usize::from(mechanism.is_some());
        msgpack::map(out, 3 + optional);
        msgpack::uint(out, 1);
        msgpack::int(out, chunk.priority().into());
        if let Some(origin) = origin {
            msgpack::uint(out, 2);
            strings.write(out, origin);
        }
        msgpack::uint(out, 6);
        msgpack::bin(out, &chunk.trace_id.to_be_bytes());
        if let Some(mechanism) = mechanism {
            msgpack::uint(out, 7);
            msgpack::uint(out, mechanism.into());
        }
        msgpack::uint(out, 4);
        msgpack::array(out, chunk.spans.len());
        for (at, span) in chunk.spans.spans().enumerate() {
            let first_of = (at == 0).then_some(chunk);
            self.span_v1(out, strings, span, first_of);
        }
    }

    /// `first_of` is the chunk whose first span it is.
    fn span_v1(
        &self,
        out: &mut Vec<u8>,
        strings: &mut Strings,
        tagged: FinishedSpan<'_>,
        first_of: Option<&Chunk>,
    ) {
        let span = tagged.span;
        let (start, duration) = self.times(tagged);
        let head = out.len();
        msgpack::map16(out, 0);
        let mut fields = 9;
        for (field, text) in [
            (1, self.service_of(tagged)),
            (2, or_nameless(tagged.name())),
            (3, or_nameless(tagged.resource())),
        ] {
            msgpack::uint(out, field);
            strings.write(out, text);
        }
        for (field, number) in [
            (4, span.span_id),
            (5, span.parent_id),
            (6, start),
            (7, duration),
        ] {
            msgpack::uint(out, field);
            msgpack::uint(out, number);
        }
        msgpack::uint(out, 8);
        msgpack::bool(out, span.error);
        msgpack::uint(out, 9);
        let promoted = self.attributes(Attributes::start(out, strings), tagged, first_of);
        if !tagged.span_type().is_empty() {
            fields += 1;
            msgpack::uint(out, 10);
            strings.write(out, tagged.span_type());
        }
        if let Some(extras) = tagged.extras() {
            fields += links_and_events(out, strings, extras);
        }
        for (field, text) in (13..).zip(promoted.texts) {
            if let Some(text) = text {
                fields += 1;
                msgpack::uint(out, field);
                strings.write(out, text);
            }
        }
        if let Some(kind) = promoted.kind {
            fields += 1;
            msgpack::uint(out, 16);
            msgpack::uint(out, kind);
        }
        out[head + 1..head + 3].copy_from_slice(&u16::to_be_bytes(fields));
    }

    /// Writes all tags but those that have fields of their own, and returns these.
    fn attributes<'a>(
        &'a self,
        mut attributes: Attributes<'_>,
        tagged: FinishedSpan<'a>,
        first_of: Option<&Chunk>,
    ) -> Promoted<'a> {
        let structs = tagged.extras().map_or(&[][..], |extras| &extras.structs);
        // A key has one value here; v0.4 has two for a tag and a structure of the same name.
        let is_struct = |key: &str| structs.iter().any(|(known, _)| known == key);
        let mut promoted = Promoted::default();
        self.texts(tagged).for_each(|(key, value)| {
            if !promoted.take(key, value) && !is_struct(key) {
                attributes.text(key, value);
            }
        });
        let has_field = first_of.and_then(mechanism).is_some();
        let is_field = |key: &str| has_field && key == "_dd.p.dm";
        self.more_texts(tagged, first_of, |key, value| {
            if !is_field(key) && !is_struct(key) {
                attributes.text(key, value);
            }
        });
        self.numbers(tagged, first_of, |key, value| {
            if !is_struct(key) {
                attributes.number(key, value);
            }
        });
        for (key, map) in structs {
            attributes.bytes(key, map);
        }
        attributes.end();
        promoted
    }
}

/// Tags that are fields of a span.
#[derive(Default)]
struct Promoted<'a> {
    /// Fields 13 to 15: environment, version and component.
    texts: [Option<&'a str>; 3],
    /// The number of a kind, from 1 on.
    kind: Option<u64>,
}

impl<'a> Promoted<'a> {
    /// Whether the tag is a field.
    fn take(&mut self, key: &str, value: &'a str) -> bool {
        let place = match key {
            "env" => 0,
            "version" => 1,
            "component" => 2,
            // One that has no number stays a tag.
            "span.kind" => {
                let at = SPAN_KINDS.iter().position(|kind| *kind == value);
                self.kind = at.map(|at| at as u64 + 1);
                return at.is_some();
            }
            _ => return false,
        };
        self.texts[place] = Some(value);
        true
    }
}

/// How the decision was made: what the tag `_dd.p.dm` says, without its sign.
fn mechanism(chunk: &Chunk) -> Option<u32> {
    let (_, maker) = chunk
        .propagated_tags()
        .find(|(key, _)| *key == "_dd.p.dm")?;
    let digits = maker.strip_prefix('-')?;
    // What another client wrote differently stays as it is.
    let is_plain = digits.starts_with(|first: char| first.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| is_plain)
}

/// Returns how many fields these were.
fn links_and_events(out: &mut Vec<u8>, strings: &mut Strings, extras: &Extras) -> u16 {
    let mut fields = 0;
    if !extras.links.is_empty() {
        fields += 1;
        msgpack::uint(out, 11);
        msgpack::array(out, extras.links.len());
        extras.links.iter().for_each(|one| link(out, strings, one));
    }
    if !extras.events.is_empty() {
        fields += 1;
        msgpack::uint(out, 12);
        msgpack::array(out, extras.events.len());
        let events = extras.events.iter();
        events.for_each(|one| event(out, strings, one));
    }
    fields
}

fn link(out: &mut Vec<u8>, strings: &mut Strings, link: &SpanLink) {
    msgpack::map(out, 5);
    msgpack::uint(out, 1);
    msgpack::bin(out, &link.trace_id.to_be_bytes());
    msgpack::uint(out, 2);
    msgpack::uint(out, link.span_id);
    msgpack::uint(out, 3);
    let mut attributes = Attributes::start(out, strings);
    for (key, value) in &link.attributes {
        attributes.text(key, value);
    }
    attributes.end();
    msgpack::uint(out, 4);
    strings.write(out, &link.tracestate);
    msgpack::uint(out, 5);
    msgpack::uint(out, extras::flags(link));
}

fn event(out: &mut Vec<u8>, strings: &mut Strings, event: &SpanEvent) {
    msgpack::map(out, 3);
    msgpack::uint(out, 1);
    msgpack::uint(out, unix_nanos(event.time));
    msgpack::uint(out, 2);
    strings.write(out, &event.name);
    msgpack::uint(out, 3);
    let mut attributes = Attributes::start(out, strings);
    for (key, value) in &event.attributes {
        attributes.value(key, value);
    }
    attributes.end();
}

/// Keys with typed values, one behind the other in a list that is written before its length is known.
struct Attributes<'a> {
    out: &'a mut Vec<u8>,
    strings: &'a mut Strings,
    head: usize,
    count: u32,
}

impl<'a> Attributes<'a> {
    fn start(out: &'a mut Vec<u8>, strings: &'a mut Strings) -> Self {
        let head = out.len();
        msgpack::array32(out, 0);
        Self {
            out,
            strings,
            head,
            count: 0,
        }
    }

    fn key(&mut self, key: &str) {
        self.count += 1;
        self.strings.write(self.out, key);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        msgpack::uint(self.out, kind::TEXT);
        self.strings.write(self.out, value);
    }

    fn number(&mut self, key: &str, value: f64) {
        self.key(key);
        msgpack::uint(self.out, kind::DOUBLE);
        msgpack::float(self.out, value);
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        msgpack::uint(self.out, kind::BYTES);
        msgpack::bin(self.out, value);
    }

    fn value(&mut self, key: &str, value: &EventValue) {
        self.key(key);
        typed(self.out, self.strings, value);
    }

    fn end(self) {
        let length = u32::to_be_bytes(3 * self.count);
        self.out[self.head + 1..self.head + 5].copy_from_slice(&length);
    }
}

fn typed(out: &mut Vec<u8>, strings: &mut Strings, value: &EventValue) {
    match value {
        EventValue::Text(text) => {
            msgpack::uint(out, kind::TEXT);
            strings.write(out, text);
        }
        EventValue::Bool(truth) => {
            msgpack::uint(out, kind::BOOL);
            msgpack::bool(out, *truth);
        }
        EventValue::Double(number) => {
            msgpack::uint(out, kind::DOUBLE);
            msgpack::float(out, *number);
        }
        EventValue::Int(number) => {
            msgpack::uint(out, kind::INT);
            msgpack::int(out, *number);
        }
        EventValue::List(values) => {
            msgpack::uint(out, kind::LIST);
            msgpack::array(out, 2 * extras::flat(values).count());
            extras::flat(values).for_each(|value| typed(out, strings, value));
        }
    }
}
