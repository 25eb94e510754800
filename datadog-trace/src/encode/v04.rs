//! Traces as all agents read them: `POST /v0.4/traces`, MessagePack
//! (datadog-agent: `pkg/proto/pbgo/trace/span.proto`, `pkg/trace/api/api.go`).

use datadog_transport::{Headers, Part, Payload};

use super::{Encoder, extras, headers, or_nameless, says_computed_stats};
use crate::batch::FinishedSpan;
use crate::msgpack;
use crate::propagate::digits;
use crate::trace::Chunk;

/// The head of a list, in the form that is as long for every length.
pub(super) const HEAD_BYTES: usize = 5;

impl Encoder {
    /// Appends one chunk, its local root first.
    pub(super) fn chunk_v04(&self, out: &mut Vec<u8>, chunk: &Chunk) {
        msgpack::array(out, chunk.spans.len());
        for (at, span) in chunk.spans.spans().enumerate() {
            let first_of = (at == 0).then_some(chunk);
            self.span_v04(out, chunk.trace_id as u64, span, first_of);
        }
    }

    /// `first_of` is the chunk whose first span it is.
    fn span_v04(
        &self,
        out: &mut Vec<u8>,
        trace_id: u64,
        tagged: FinishedSpan<'_>,
        first_of: Option<&Chunk>,
    ) {
        let span = tagged.span;
        let extras = tagged.extras();
        let span_type = tagged.span_type();
        let fields = 11
            + usize::from(!span_type.is_empty())
            + extras.map_or(0, |extras| extras::fields(extras, self.native_events));
        msgpack::map(out, fields);
        let (start, duration) = self.times(tagged);
        text(out, "service", self.service_of(tagged));
        text(out, "name", or_nameless(tagged.name()));
        text(out, "resource", or_nameless(tagged.resource()));
        let ids = [trace_id, span.span_id, span.parent_id];
        numbers(out, ids, [start, duration], span.error);
        if !span_type.is_empty() {
            text(out, "type", span_type);
        }
        let mut meta = Pairs::start(out, META);
        self.meta(&mut meta, tagged, first_of);
        meta.end();
        let mut metrics = Pairs::start(out, METRICS);
        self.metrics(&mut metrics, tagged, first_of);
        metrics.end();
        if let Some(extras) = extras {
            extras::write(out, extras, self.native_events);
        }
    }

    fn meta(&self, meta: &mut Pairs<'_>, tagged: FinishedSpan<'_>, first_of: Option<&Chunk>) {
        self.texts(tagged)
            .for_each(|(key, value)| meta.text(key, value));
        self.more_texts(tagged, first_of, |key, value| meta.text(key, value));
        let mut add = |key: &str, value: &str| {
            if !tagged.has_tag(key) {
                meta.text(key, value);
            }
        };
        if let Some(extras) = tagged.extras()
            && !self.native_events
            && let Some(events) = extras::events_tag(extras)
        {
            add("events", &events);
        }
        let Some(chunk) = first_of else { return };
        for (key, value) in &self.chunk_tags {
            add(key, value);
        }
        let high_id = (chunk.trace_id >> 64) as u64;
        if high_id != 0 {
            let mut text = String::with_capacity(16);
            digits::push_hex(&mut text, high_id.into(), 16);
            add("_dd.p.tid", &text);
        }
        let upstream = chunk.upstream.as_ref();
        if let Some(origin) = upstream.and_then(|upstream| upstream.origin.as_deref()) {
            add("_dd.origin", origin);
        }
    }

    fn metrics(&self, metrics: &mut Pairs<'_>, tagged: FinishedSpan<'_>, first_of: Option<&Chunk>) {
        self.numbers(tagged, first_of, |key, value| metrics.number(key, value));
        if let Some(chunk) = first_of
            && !tagged.has_tag(PRIORITY)
        {
            metrics.number(PRIORITY, chunk.priority().into());
        }
    }
}

/// The fields of a span that are numbers, with places for them: each number is in its longest form.
const NUMBERS: &[u8; 94] =
    b"\xa8trace_id\xcf--------\xa7span_id\xcf--------\xa9parent_id\xcf--------\
    \xa5start\xcf--------\xa8duration\xcf--------\xa5error-";

/// Writes these fields. The numbers are filled in where they stand: what is put together first and moved then has to
/// wait for its own writes.
#[inline(always)]
fn numbers(
    out: &mut Vec<u8>,
    [trace_id, span_id, parent_id]: [u64; 3],
    times: [u64; 2],
    error: bool,
) {
    out.extend_from_slice(NUMBERS);
    let Some(text) = out.last_chunk_mut::<{ NUMBERS.len() }>() else {
        return;
    };
    text[10..18].copy_from_slice(&trace_id.to_be_bytes());
    text[27..35].copy_from_slice(&span_id.to_be_bytes());
    text[46..54].copy_from_slice(&parent_id.to_be_bytes());
    text[61..69].copy_from_slice(&times[0].to_be_bytes());
    text[79..87].copy_from_slice(&times[1].to_be_bytes());
    text[93] = error.into();
}

/// The tag with the sampling priority of the trace.
pub(super) const PRIORITY: &str = "_sampling_priority_v1";

/// The fields that are maps: their names, with the head of an empty map in its 3-byte form.
pub(super) const META: &[u8] = b"\xa4meta\xde\0\0";
pub(super) const METRICS: &[u8] = b"\xa7metrics\xde\0\0";

/// A map that is being written before its length is known.
pub(super) struct Pairs<'a> {
    out: &'a mut Vec<u8>,
    head: usize,
    count: u16,
}

impl<'a> Pairs<'a> {
    /// `head` is one of [`META`] and [`METRICS`].
    #[inline]
    pub(super) fn start(out: &'a mut Vec<u8>, head: &[u8]) -> Self {
        out.extend_from_slice(head);
        let head = out.len() - 3;
        Self {
            out,
            head,
            count: 0,
        }
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        if self.counts() {
            text(self.out, key, value);
        }
    }

    pub(super) fn number(&mut self, key: &str, value: f64) {
        if self.counts() {
            msgpack::str(self.out, key);
            msgpack::float(self.out, value);
        }
    }

    /// Whether there is room for one more.
    fn counts(&mut self) -> bool {
        let more = self.count < u16::MAX;
        self.count += u16::from(more);
        more
    }

    pub(super) fn end(self) {
        self.out[self.head + 1..self.head + 3].copy_from_slice(&self.count.to_be_bytes());
    }
}

pub(super) fn payload(body: Vec<u8>, chunks: Vec<Part>, stats: bool) -> Payload {
    let headers = headers(chunks.len(), stats);
    list(body, headers, chunks)
}

/// A list of chunks, whose head gets its place filled in.
pub(super) fn list(mut body: Vec<u8>, headers: Headers, chunks: Vec<Part>) -> Payload {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    msgpack::array32(&mut head, chunks.len());
    body[..HEAD_BYTES].copy_from_slice(&head);
    if says_computed_stats(&headers) {
        Payload::list(body, headers, chunks, |chunks| frame(chunks, true))
    } else {
        Payload::list(body, headers, chunks, |chunks| frame(chunks, false))
    }
}

fn frame(chunks: &[(&[u8], u64)], stats: bool) -> Payload {
    let mut body = vec![0; HEAD_BYTES];
    let mut parts = Vec::with_capacity(chunks.len());
    for (chunk, items) in chunks {
        let start = body.len();
        body.extend_from_slice(chunk);
        parts.push(Part {
            bytes: start..body.len(),
            items: *items,
        });
    }
    payload(body, parts, stats)
}

#[inline(always)]
pub(super) fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    msgpack::str(out, key);
    msgpack::str(out, value);
}

#[inline(always)]
pub(super) fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    msgpack::str(out, key);
    msgpack::uint(out, value);
}
