//! Fields of spans and events, with the types that they were recorded with.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write as _};

use datadog_transport::ErrorReport;
use tracing_core::Field;
use tracing_core::field::Visit;

use super::callsite::Callsite;
use super::rules::Rule;

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

/// The value of a field; a text by where it stands in the buffer.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Text(usize, usize),
    Int(i64),
    UInt(u64),
    Float(f64),
    Bool(bool),
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FieldValue<'a> {
    Text(&'a str),
    Int(i64),
    UInt(u64),
    Float(f64),
    Bool(bool),
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
        Recording {
            fields: self,
            rule,
            all_differ: false,
        }
    }

    /// Takes what a new span of this place records; there must be no fields yet.
    #[inline]
    pub(super) fn record_first(&mut self, callsite: Callsite) -> Recording<'_> {
        Recording {
            fields: self,
            rule: callsite.rule,
            all_differ: callsite.keys_differ,
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

    /// Takes one field of another.
    pub(super) fn copy(&mut self, other: &Self, key: &'static str) {
        if let Some(value) = other.get(key) {
            self.put(key, value);
        }
    }

    fn put(&mut self, key: &'static str, value: FieldValue<'_>) {
        match value {
            FieldValue::Text(text) => self.set_text(key, |buffer| buffer.push_str(text)),
            FieldValue::Int(number) => self.set(key, Stored::Int(number)),
            FieldValue::UInt(number) => self.set(key, Stored::UInt(number)),
            FieldValue::Float(number) => self.set(key, Stored::Float(number)),
            FieldValue::Bool(truth) => self.set(key, Stored::Bool(truth)),
        }
    }

    fn value(&self, stored: Stored) -> FieldValue<'_> {
        match stored {
            Stored::Text(start, end) => {
                FieldValue::Text(self.buffer.get(start..end).unwrap_or_default())
            }
            Stored::Int(number) => FieldValue::Int(number),
            Stored::UInt(number) => FieldValue::UInt(number),
            Stored::Float(number) => FieldValue::Float(number),
            Stored::Bool(truth) => FieldValue::Bool(truth),
        }
    }

    /// Adds a field that is not there yet.
    #[inline]
    fn add(&mut self, key: &'static str, stored: Stored) {
        if self.list.len() < MOST_FIELDS {
            self.list.push((key, stored));
        }
    }

    #[inline]
    fn push_text(&mut self, text: &str) -> Stored {
        let start = self.buffer.len();
        self.buffer.push_str(text);
        Stored::Text(start, self.buffer.len())
    }

    /// Sets a field. A later value replaces an earlier one.
    fn set(&mut self, key: &'static str, stored: Stored) {
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
    fn set_text(&mut self, key: &'static str, write: impl FnOnce(&mut String)) {
        let known = self.list.iter().position(|(known, _)| *known == key);
        if let Some(at) = known {
            self.remove_text(at);
        }
        let start = self.buffer.len();
        write(&mut self.buffer);
        let text = Stored::Text(start, self.buffer.len());
        match known {
            None if self.error.is_none() => self.add(key, text),
            _ => self.set(key, text),
        }
    }

    #[cold]
    fn remove_text(&mut self, at: usize) {
        let Some((_, stored @ Stored::Text(..))) = self.list.get_mut(at) else {
            return;
        };
        let Stored::Text(start, end) = std::mem::replace(stored, Stored::Text(0, 0)) else {
            return;
        };
        self.buffer.drain(start..end);
        for (_, other) in &mut self.list {
            if let Stored::Text(other_start, other_end) = other
                && *other_start >= end
            {
                *other_start -= end - start;
                *other_end -= end - start;
            }
        }
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
        Some(b'_' | b'd'..=b'h' | b'm' | b'o' | b'r' | b's' | b'u')
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
        | "span"
        // What `Span::set_tag` obeys.
        | "manual"
        | "sampling"
        | "_sampling_priority_v1" => true,
        _ => false,
    }
}

/// Takes what a span or an event records.
pub(super) struct Recording<'f> {
    fields: &'f mut Fields,
    rule: Option<&'static Rule>,
    /// Whether each key comes once, and none is there already: then there is nothing to look for.
    all_differ: bool,
}

impl Recording<'_> {
    /// `None` if the field is hidden.
    #[inline]
    fn key(&self, field: &Field) -> Option<&'static str> {
        match self.rule {
            Some(rule) => rule.key(field.name()),
            None => Some(field.name()),
        }
    }

    #[inline]
    fn set(&mut self, field: &Field, stored: Stored) {
        let Some(key) = self.key(field) else { return };
        if self.all_differ {
            self.fields.add(key, stored);
        } else {
            self.fields.set(key, stored);
        }
    }
}

impl Visit for Recording<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Stored::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Stored::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Stored::UInt(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Stored::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let Some(key) = self.key(field) else { return };
        if self.all_differ {
            let text = self.fields.push_text(value);
            self.fields.add(key, text);
        } else {
            self.fields.set_text(key, |buffer| buffer.push_str(value));
        }
    }

    /// An error value is the text that it displays; one that says a failure is described in full as well.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let Some(key) = self.key(field) else { return };
        // An error means that a value of the program's gave up; what it wrote before stays.
        self.fields.set_text(key, |buffer| {
            let _ = write!(buffer, "{value}");
        });
        if is_error_key(key) && self.fields.error.is_none() {
            let report = ErrorReport::of(value);
            self.fields.error = Some(Box::new(ErrorField { key, report }));
        }
    }

    /// Also what was recorded with `%`, and whole numbers of 128 bits.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let Some(key) = self.key(field) else { return };
        // An error means that a value of the program's gave up; what it wrote before stays.
        self.fields.set_text(key, |buffer| {
            let _ = write!(buffer, "{value:?}");
        });
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
        ] {
            assert!(has_meaning(key), "{key}");
        }
        for key in ["route", "https", "cart.items", "", "errors", "service"] {
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
