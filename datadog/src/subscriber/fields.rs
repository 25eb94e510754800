//! Fields of spans and events, with the types that they were recorded with.

use std::cell::RefCell;
use std::error::Error;

use datadog_trace::TagValue;
use datadog_transport::ErrorReport;

use super::callsite::Callsite;
use super::recording::Recording;
use super::rules::Rule;
use super::stored::{FieldValue, Stored};

/// The most fields that are kept of a span or an event.
const MOST_FIELDS: usize = 256;

/// The most memory that a thread keeps for fields to come: so many, none of them larger than so many bytes.
const MOST_FREE: usize = 64;
const FREE_BYTES: usize = 4_096;

thread_local! {
    #[expect(clippy::vec_box, reason = "they go in and out one by one")]
    static FREE: RefCell<Vec<Box<Fields>>> = const { RefCell::new(Vec::new()) };
}

/// The fields of one span or event. Texts share one buffer, so that fields which are used again take no memory.
#[derive(Debug, Default)]
pub(super) struct Fields {
    buffer: String,
    list: Vec<(&'static str, Stored)>,
    /// Of the first field `error` or `err` that is an error value. Its text is among the fields too.
    error: Option<Box<ErrorField>>,
}

#[derive(Debug)]
struct ErrorField {
    key: &'static str,
    report: ErrorReport,
}

impl Fields {
    /// No fields, with memory that was used before if there is some.
    #[inline]
    pub(super) fn take() -> Box<Self> {
        FREE.try_with(|free| free.try_borrow_mut().ok()?.pop())
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// Keeps the memory for others.
    #[inline]
    pub(super) fn give_back(mut self: Box<Self>) {
        let bytes = self.buffer.capacity() + self.list.capacity() * size_of::<(&str, Stored)>();
        if bytes > FREE_BYTES {
            return;
        }
        self.buffer.clear();
        self.list.clear();
        if self.error.is_some() {
            self.error = None;
        }
        let _ = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut()
                && free.len() < MOST_FREE
            {
                free.push(self);
            }
        });
    }

    /// Takes what is recorded, under the names that `rule` gives.
    pub(super) fn record_as(&mut self, rule: Option<&'static Rule>) -> Recording<'_> {
        Recording::new(self, rule, false)
    }

    /// Takes what a new span of this place records; there must be no fields yet.
    #[inline]
    pub(super) fn record_first(&mut self, callsite: Callsite) -> Recording<'_> {
        Recording::new(self, callsite.rule, callsite.keys_differ())
    }

    /// Describes an error value that has this key in full, unless one is described already.
    pub(super) fn describe(&mut self, key: &'static str, error: &(dyn Error + 'static)) {
        if self.error.is_none() {
            let report = ErrorReport::of(error);
            self.error = Some(Box::new(ErrorField { key, report }));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.error.is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, FieldValue<'_>)> {
        self.list
            .iter()
            .map(|(key, stored)| (*key, self.value(*stored)))
    }

    /// As tags of their types.
    #[inline]
    pub(super) fn tags(&self) -> impl Iterator<Item = (&'static str, TagValue<'_>)> {
        self.iter().map(|(key, value)| (key, value.into()))
    }

    pub(super) fn get(&self, key: &str) -> Option<FieldValue<'_>> {
        let (_, stored) = self.list.iter().find(|(known, _)| *known == key)?;
        Some(self.value(*stored))
    }

    /// What the error value among the fields says about itself.
    pub(super) fn error(&self) -> Option<&ErrorReport> {
        self.error.as_ref().map(|error| &error.report)
    }

    /// The field whose text is the message of the error: an error value, which says most; else the message of
    /// OpenTelemetry's exceptions, or the first of `error` and `err`.
    pub(super) fn error_key(&self) -> Option<&'static str> {
        if let Some(error) = &self.error {
            return Some(error.key);
        }
        let first = |is_key: fn(&str) -> bool| {
            let mut keys = self.list.iter().map(|(key, _)| *key);
            keys.find(|key| is_key(key) && self.text(&[key]).is_some())
        };
        first(|key| key == "exception.message").or_else(|| first(is_error_key))
    }

    /// The text of the first of these fields that there is. Empty ones are as good as none.
    pub(super) fn text(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| match self.get(key) {
            Some(FieldValue::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        })
    }

    /// The number of the first of these fields that there is.
    pub(super) fn number(&self, keys: &[&str]) -> Option<f64> {
        keys.iter().find_map(|key| match self.get(key)? {
            FieldValue::Int(number) => Some(number as f64),
            FieldValue::UInt(number) => Some(number as f64),
            FieldValue::Float(number) => Some(number),
            FieldValue::Text(text) => text.parse().ok(),
            FieldValue::Bool(_) => None,
        })
    }

    /// Takes the fields of another.
    pub(super) fn extend(&mut self, other: &mut Self) {
        for (key, stored) in other.list.iter() {
            self.put(key, other.value(*stored));
        }
        if self.error.is_none() {
            self.error = other.error.take();
        }
    }

    fn put(&mut self, key: &'static str, value: FieldValue<'_>) {
        match value {
            FieldValue::Text(text) => self.set_text(key, |buffer| buffer.push_str(text)),
            FieldValue::Int(number) => self.set(key, Stored::int(number)),
            FieldValue::UInt(number) => self.set(key, Stored::uint(number)),
            FieldValue::Float(number) => self.set(key, Stored::float(number)),
            FieldValue::Bool(truth) => self.set(key, Stored::bool(truth)),
        }
    }

    #[inline]
    fn value(&self, stored: Stored) -> FieldValue<'_> {
        stored.value(&self.buffer)
    }

    /// Adds a field that is not there yet.
    pub(super) fn add(&mut self, key: &'static str, stored: Stored) {
        if self.list.len() < MOST_FIELDS {
            self.list.push((key, stored));
        }
    }

    /// The same for a text.
    pub(super) fn add_text(&mut self, key: &'static str, text: &str) {
        let start = self.buffer.len();
        self.buffer.push_str(text);
        let text = self.text_from(start);
        self.add(key, text);
    }

    /// Adds a field that is not there yet, if that takes no memory. Whether it did.
    #[inline(always)]
    pub(super) fn add_if_room(&mut self, key: &'static str, stored: Stored) -> bool {
        let has_room = self.list.len() < self.list.capacity().min(MOST_FIELDS);
        if has_room {
            self.list.push((key, stored));
        }
        has_room
    }

    /// The same for a text, if that takes no memory.
    #[inline(always)]
    pub(super) fn add_text_if_room(&mut self, key: &'static str, text: &str) -> bool {
        let start = self.buffer.len();
        let end = start + text.len();
        let has_room = end <= self.buffer.capacity().min(u32::MAX as usize)
            && self.add_if_room(key, Stored::text(start, end));
        if has_room {
            self.buffer.push_str(text);
        }
        has_room
    }

    /// The text behind `start`. Places have 32 bits: a span's tags have far less room.
    #[inline]
    fn text_from(&mut self, start: usize) -> Stored {
        if self.buffer.len() > u32::MAX as usize {
            self.buffer.truncate(start);
        }
        Stored::text(start, self.buffer.len())
    }

    /// Sets a field. A later value replaces an earlier one.
    #[inline(never)]
    pub(super) fn set(&mut self, key: &'static str, stored: Stored) {
        if self.error.as_ref().is_some_and(|error| error.key == key) {
            self.error = None;
        }
        match self.list.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = stored,
            None => self.add(key, stored),
        }
    }

    /// Sets a text. That of a field that is there already is taken out of the buffer, so that a field that changes all the
    /// time does not make it grow.
    pub(super) fn set_text(&mut self, key: &'static str, write: impl FnOnce(&mut String)) {
        let known = self.list.iter().position(|(known, _)| *known == key);
        if let Some(at) = known {
            self.remove_text(at);
        }
        let start = self.buffer.len();
        write(&mut self.buffer);
        let text = self.text_from(start);
        match known {
            None if self.error.is_none() => self.add(key, text),
            _ => self.set(key, text),
        }
    }

    #[cold]
    fn remove_text(&mut self, at: usize) {
        let Some((_, stored)) = self.list.get_mut(at) else {
            return;
        };
        let Some(removed) = stored.place() else {
            return;
        };
        *stored = Stored::text(0, 0);
        for (_, other) in &mut self.list {
            if let Some(place) = other.place().filter(|place| place.start >= removed.end) {
                let bytes = removed.len();
                *other = Stored::text(place.start - bytes, place.end - bytes);
            }
        }
        self.buffer.drain(removed);
    }
}

/// Whether such a field says that its span or event failed.
pub(super) fn is_error_key(key: &str) -> bool {
    matches!(key, "error" | "err")
}

/// Whether the mapping has to look at spans with such a field: a name of OpenTelemetry's or of Datadog's that means more
/// than a tag.
pub(super) fn has_meaning(key: &str) -> bool {
    // Told by their first letters, most keys are not looked at any further.
    if !matches!(
        key.as_bytes().first(),
        Some(b'_' | b'c'..=b'h' | b'm' | b'o' | b'r' | b's' | b'u')
    ) {
        return false;
    }
    let (group, is_dotted) = match key.bytes().position(|byte| byte == b'.') {
        Some(end) => (&key[..end], true),
        None => (key, false),
    };
    match group {
        // Without a dot they are words of the program's, unless they come together.
        "operation" | "resource" | "service" => is_dotted,
        "client" => key == "client.address",
        "http"
        | "db"
        | "messaging"
        | "rpc"
        | "graphql"
        | "faas"
        | "otel"
        | "dd"
        | "exception"
        | "error"
        | "err"
        | "url"
        | "uri"
        | "span"
        // What `Span::set_tag` obeys.
        | "manual"
        | "sampling"
        | "_sampling_priority_v1" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_takes_the_place_of_the_one_before() {
        let mut fields = Fields::default();
        fields.put("a", FieldValue::Text("first"));
        fields.put("b", FieldValue::Text("stays"));
        fields.put("c", FieldValue::Int(-1));
        for number in 0..10_000 {
            fields.put("a", FieldValue::Text(&number.to_string()));
        }
        fields.put("c", FieldValue::Bool(true));
        assert_eq!(fields.buffer, "stays9999");
        let all: Vec<_> = fields.iter().collect();
        let expected = [
            ("a", FieldValue::Text("9999")),
            ("b", FieldValue::Text("stays")),
            ("c", FieldValue::Bool(true)),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn names_of_conventions_have_a_meaning() {
        for key in [
            "http.route",
            "db.system",
            "error",
            "otel.name",
            "dd.service",
            "service.name",
            "span.type",
            "client.address",
        ] {
            assert!(has_meaning(key), "{key}");
        }
        for key in [
            "route",
            "https",
            "cart.items",
            "",
            "errors",
            "service",
            "client.id",
        ] {
            assert!(!has_meaning(key), "{key}");
        }
    }

    #[test]
    fn there_is_a_most() {
        let mut fields = Fields::default();
        for number in 0..2 * MOST_FIELDS {
            fields.put(format!("key{number}").leak(), FieldValue::Int(1));
        }
        fields.put("key0", FieldValue::Text("known"));
        assert_eq!(fields.iter().count(), MOST_FIELDS);
        assert_eq!(fields.text(&["none", "key0"]), Some("known"));
    }
}
