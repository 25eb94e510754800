//! One entry while it is written.

use datadog_transport::context::ActiveSpan;

use crate::correlation::TraceIdForm;
use crate::encode::{self, MARK};
use crate::header::Header;
use crate::record::STACK;
use crate::redact::{REDACTED, Redaction};
use crate::{Level, Value};

/// The largest entry, in bytes. The intake cuts longer ones without a mark
/// (serverless-components: `crates/datadog-logs-agent/src/constants.rs`; public API reference, "Send logs").
pub(crate) const MAX_ENTRY: usize = 1_000_000;

/// While an entry is larger than this, it takes no more attributes: it has to be cut anyway.
const MAX_DRAFT: usize = 4 * MAX_ENTRY;

/// The most attributes of an entry: more would take longer to look through than they are worth.
const MAX_ATTRIBUTES: usize = 1000;

/// A larger buffer is not kept for the next entry.
const MAX_KEPT: usize = 64 * 1024;

/// How many texts of an entry that is too large are cut before whole attributes are left out.
const MAX_CUTS: usize = 16;

/// The JSON of an entry, from the opening brace on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    json: Vec<u8>,
    /// The message first, then the attributes in order; they reach to the end of the JSON.
    fields: Vec<Field>,
    /// A bit for each key among the attributes, by [`key_bit`].
    keys: u64,
    /// What the JSON begins with, in a draft that is used again too.
    header: Option<Header>,
}

/// Where `,"key":value` lies in the JSON.
#[derive(Clone, Copy, Debug)]
struct Field {
    start: usize,
    value: usize,
    end: usize,
}

impl Draft {
    /// Whether the buffers are small enough to be kept for another entry.
    pub(crate) fn is_small(&self) -> bool {
        self.json.capacity() <= MAX_KEPT
    }

    /// Writes what every entry has, over what was written before. `preamble` is ready-made JSON, `,"key":value` any
    /// number of times, and always the same for one draft.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        level: Level,
        preamble: &[u8],
        span: Option<(ActiveSpan, TraceIdForm)>,
        message: impl FnOnce(&mut Vec<u8>),
    ) {
        self.fields.clear();
        self.keys = 0;
        let known = self
            .header
            .as_mut()
            .and_then(|header| header.renew(&mut self.json, level, span));
        match known {
            Some(end) => self.json.truncate(end),
            None => {
                self.json.clear();
                self.header = Some(Header::write(&mut self.json, level, preamble, span));
            }
        }
        self.field("message", message);
    }

    /// Adds an attribute, without what `redaction` hides. One of the same key is replaced; a reserved key gets a
    /// prefix.
    pub(crate) fn attribute(&mut self, key: &str, value: &Value<'_>, redaction: &Redaction) {
        self.attribute_with(key, redaction, |json| {
            encode::value(json, value, redaction);
        });
    }

    /// Adds an attribute whose value `write` writes, where it is not hidden; see [`Draft::attribute`].
    #[inline]
    pub(crate) fn attribute_with(
        &mut self,
        key: &str,
        redaction: &Redaction,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.json.len() > MAX_DRAFT || self.fields.len() > MAX_ATTRIBUTES {
            return;
        }
        let hidden = redaction.hides(key);
        let write = |json: &mut Vec<u8>| {
            if hidden {
                encode::text(json, REDACTED);
            } else {
                write(json);
            }
        };
        if is_reserved(key) {
            self.field(&format!("custom.{key}"), write);
        } else {
            self.field(key, write);
        }
        self.remove_earlier();
    }

    /// Adds the attributes of a draft that has nothing else.
    pub(crate) fn append(&mut self, attributes: &Self) {
        let base = self.json.len();
        self.json.extend_from_slice(&attributes.json);
        let moved = |field: &Field| Field {
            start: base + field.start,
            value: base + field.value,
            end: base + field.end,
        };
        self.fields.extend(attributes.fields.iter().map(moved));
        self.keys |= attributes.keys;
    }

    /// Adds a stack trace that took its time: one that no option hides, and already without what rules replace.
    pub(crate) fn late_stack(&mut self, stack: &str) {
        self.field(STACK, |json| encode::text(json, stack));
        self.remove_earlier();
    }

    /// The finished entry, cut to [`MAX_ENTRY`]; `None` where that is impossible.
    pub(crate) fn close(&mut self) -> Option<&[u8]> {
        if self.excess() > 0 {
            self.cut();
        }
        if self.excess() > 0 {
            return None;
        }
        self.json.push(b'}');
        Some(&self.json)
    }

    fn field(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.json.len();
        encode::key(&mut self.json, key);
        let value = self.json.len();
        write(&mut self.json);
        let end = self.json.len();
        self.fields.push(Field { start, value, end });
    }

    /// Removes the attribute of the same key as the last one.
    fn remove_earlier(&mut self) {
        let Some(last) = self.fields.last() else {
            return;
        };
        let bit = key_bit(&self.json[last.start..last.value]);
        if self.keys & bit != 0 {
            self.look_for_earlier();
        }
        self.keys |= bit;
    }

    /// Records have few attributes: a scan beats a map.
    fn look_for_earlier(&mut self) {
        let Some((last, earlier)) = self.fields.split_last() else {
            return;
        };
        let key = |field: &Field| &self.json[field.start..field.value];
        let Some(at) = earlier.iter().position(|field| key(field) == key(last)) else {
            return;
        };
        let gone = self.fields.remove(at);
        self.json.drain(gone.start..gone.end);
        let length = gone.end - gone.start;
        for field in &mut self.fields[at..] {
            field.start -= length;
            field.value -= length;
            field.end -= length;
        }
    }

    /// By how many bytes the entry, with its closing brace, is too large.
    fn excess(&self) -> usize {
        (self.json.len() + 1).saturating_sub(MAX_ENTRY)
    }

    /// Makes the entry small enough: cuts the longest texts, then leaves out the last attributes.
    fn cut(&mut self) {
        for _ in 0..MAX_CUTS {
            let texts = self
                .fields
                .iter()
                .enumerate()
                .filter(|(_, field)| self.json[field.value] == b'"');
            let Some((at, longest)) = texts.max_by_key(|(_, field)| field.end - field.value) else {
                break;
            };
            if self.excess() == 0 || longest.end - longest.value <= MARK.len() + 2 {
                break;
            }
            self.shorten(at);
        }
        while self.excess() > 0
            && self.fields.len() > 1
            && let Some(last) = self.fields.pop()
        {
            self.json.truncate(last.start);
        }
        if self.excess() > 0 && !self.fields.is_empty() {
            self.shorten(0);
        }
    }

    /// Cuts a text by as much as the entry is too large, and puts the mark at its end.
    fn shorten(&mut self, at: usize) {
        let excess = self.excess();
        let Field { value, end, .. } = self.fields[at];
        let content = &self.json[value + 1..end - 1];
        let kept = floor_unit(content, content.len().saturating_sub(excess + MARK.len()));
        self.json.splice(value + 1 + kept..end - 1, MARK.bytes());
        let shift = |place: &mut usize| *place = *place + kept + MARK.len() + 2 - (end - value);
        shift(&mut self.fields[at].end);
        for field in &mut self.fields[at + 1..] {
            shift(&mut field.start);
            shift(&mut field.value);
            shift(&mut field.end);
        }
    }
}

/// Names that Datadog reserves, and that the client knows better than an attribute.
fn is_reserved(key: &str) -> bool {
    // Told by their first letters, most keys are not looked at any further.
    let first = key.as_bytes().first();
    if !matches!(first, Some(b'd' | b'h' | b'm' | b's' | b't')) {
        return false;
    }
    matches!(
        key,
        "message" | "status" | "timestamp" | "service" | "hostname" | "ddsource" | "ddtags" | "dd"
    ) || key.starts_with("dd.")
}

/// One of 64 bits, by the length and some letters of `,"key":`.
fn key_bit(written: &[u8]) -> u64 {
    let letter = |from_end: usize| {
        let at = written.len().wrapping_sub(from_end);
        written.get(at).copied().map_or(0, usize::from)
    };
    1 << ((written.len() * 8 + letter(3) * 5 + letter(5)) % 64)
}

/// The longest beginning of an escaped text of at most `limit` bytes that ends between characters and escapes.
fn floor_unit(content: &[u8], limit: usize) -> usize {
    let mut end = 0;
    while end < content.len() {
        let unit = match content[end] {
            b'\\' if content.get(end + 1) == Some(&b'u') => 6,
            b'\\' => 2,
            0xf0.. => 4,
            0xe0.. => 3,
            0xc0.. => 2,
            _ => 1,
        };
        if end + unit > limit {
            break;
        }
        end += unit;
    }
    end
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    fn entry(message: &str, attributes: &[(&str, Value<'_>)]) -> Json {
        let mut draft = Draft::default();
        draft.begin(Level::Info, b"", None, |json| encode::text(json, message));
        for (key, value) in attributes {
            draft.attribute(key, value, &Redaction::default());
        }
        read(&mut draft)
    }

    /// The finished entry, in which no key may occur twice.
    fn read(draft: &mut Draft) -> Json {
        let keys = draft.fields.len() + 2;
        let json = draft.close().unwrap();
        let read: Json = serde_json::from_slice(json).unwrap();
        // A key that occurs twice is one after reading.
        assert_eq!(read.as_object().unwrap().len(), keys, "{read}");
        read
    }

    #[test]
    fn a_later_attribute_replaces_an_earlier_one_wherever_it_stands() {
        let read = entry(
            "m",
            &[
                ("a", "first".into()),
                ("b", 2.into()),
                ("a", 1.into()),
                ("c\n", 3.into()),
                ("b", Value::list([1, 2])),
                ("c\n", Value::Null),
            ],
        );
        assert_eq!((&read["a"], &read["b"]), (&json!(1), &json!([1, 2])));
        assert_eq!(read["c\n"], json!(null));
        assert_eq!(read["message"], "m");
    }

    #[test]
    fn reserved_names_get_a_prefix() {
        for key in [
            "message",
            "status",
            "timestamp",
            "service",
            "hostname",
            "ddsource",
            "ddtags",
            "dd",
            "dd.trace_id",
        ] {
            let read = entry("mine", &[(key, "theirs".into())]);
            assert_eq!(read[format!("custom.{key}")], "theirs");
            assert_eq!(read["message"], "mine");
            assert!(key == "message" || read[key] != "theirs");
        }
    }

    #[test]
    fn numbers_read_back() {
        let numbers: [(Value<'_>, Json); 8] = [
            (i64::MIN.into(), json!(i64::MIN)),
            (u64::MAX.into(), json!(u64::MAX)),
            ((-0.0).into(), json!(-0.0)),
            (1e300.into(), json!(1e300)),
            (5e-324.into(), json!(5e-324)),
            (f64::NAN.into(), json!("NaN")),
            (f64::NEG_INFINITY.into(), json!("-inf")),
            (0.1f32.into(), json!(f64::from(0.1f32))),
        ];
        for (value, expected) in numbers {
            assert_eq!(entry("", &[("n", value)])["n"], expected);
        }
    }

    #[test]
    fn too_large_an_entry_loses_the_ends_of_its_longest_texts() {
        let long = "é".repeat(600_000);
        let longer = "\u{1}".repeat(200_000);
        let read = entry(&long, &[("a", longer.as_str().into()), ("b", 1.into())]);
        let message = read["message"].as_str().unwrap();
        assert!(message.ends_with(MARK) && long.starts_with(message.trim_end_matches(MARK)));
        let attribute = read["a"].as_str().unwrap();
        assert!(attribute.ends_with(MARK) && longer.starts_with(attribute.trim_end_matches(MARK)));
        assert_eq!(read["b"], 1);
    }

    #[test]
    fn too_many_attributes_lose_the_last_ones() {
        let keys: Vec<String> = (0..200_000).map(|number| format!("key{number}")).collect();
        let attributes: Vec<_> = keys.iter().map(|key| (key.as_str(), 1.into())).collect();
        let mut draft = Draft::default();
        draft.begin(Level::Info, b"", None, |json| encode::text(json, "stays"));
        // One by one would look for the key each time.
        for (key, value) in &attributes {
            draft.field(key, |json| {
                encode::value(json, value, &Redaction::default())
            });
        }
        let json = draft.close().unwrap();
        assert!(json.len() > MAX_ENTRY - 20);
        let read: Json = serde_json::from_slice(json).unwrap();
        assert_eq!(
            (&read["message"], &read["key0"]),
            (&json!("stays"), &json!(1))
        );
        assert!(read.get("key199999").is_none());
    }

    #[test]
    fn a_preamble_that_leaves_no_room_is_not_sent() {
        let mut draft = Draft::default();
        let preamble = format!(",\"service\":\"{}\"", "x".repeat(MAX_ENTRY));
        draft.begin(Level::Info, preamble.as_bytes(), None, |json| {
            encode::text(json, "m")
        });
        assert!(draft.close().is_none());
    }

    fn any_value() -> impl Strategy<Value = Value<'static>> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                proptest::collection::vec((any::<String>(), inner), 0..5).prop_map(Value::map),
            ]
        })
    }

    fn as_json(value: &Value<'_>) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(truth) => json!(truth),
            Value::Int(number) => json!(number),
            Value::UInt(number) => json!(number),
            Value::Float(number) if number.is_finite() => json!(number),
            Value::Float(number) => json!(number.to_string()),
            Value::Text(text) => json!(text),
            Value::List(values) => values.iter().map(as_json).collect(),
            Value::Map(values) => values
                .iter()
                .map(|(key, value)| (key.to_string(), as_json(value)))
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(
            message: String,
            attributes in proptest::collection::vec((any::<String>(), any_value()), 0..8),
        ) {
            let list: Vec<_> = attributes.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            let read = entry(&message, &list);
            prop_assert_eq!(&read["message"], &json!(message));
            let last: BTreeMap<_, _> = attributes.iter().map(|(key, value)| (key, value)).collect();
            for (key, value) in last {
                if !is_reserved(key) {
                    // Through text, because serde_json does not read every float back exactly.
                    let expected = as_json(value).to_string();
                    prop_assert_eq!(&read[key], &serde_json::from_str::<Json>(&expected).unwrap());
                }
            }
        }

        #[test]
        fn wherever_a_text_is_cut_it_stays_a_text(text: String, limit in 0usize..200) {
            let mut escaped = Vec::new();
            encode::text(&mut escaped, &text);
            let content = &escaped[1..escaped.len() - 1];
            let kept = floor_unit(content, limit);
            prop_assert!(kept <= limit && kept + 6 > limit.min(content.len()));
            let quoted = [b"\"", &content[..kept], b"\""].concat();
            let read: String = serde_json::from_slice(&quoted).unwrap();
            prop_assert!(text.starts_with(&read));
        }
    }
}
