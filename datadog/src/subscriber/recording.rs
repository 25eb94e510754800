//! What takes the fields that spans and events record.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing_core::Field;
use tracing_core::field::Visit;

use super::fields::{Fields, is_error_key};
use super::rules::Rule;
use super::stored::Stored;

/// Takes what a span or an event records.
pub(super) struct Recording<'f> {
    fields: &'f mut Fields,
    rule: Option<&'static Rule>,
    /// Then there is nothing to look for.
    all_differ: bool,
}

impl<'f> Recording<'f> {
    /// Records into `fields`, under the names that `rule` gives. `all_differ` says that each key comes once, and none is there
    /// already.
    #[inline]
    pub(super) fn new(
        fields: &'f mut Fields,
        rule: Option<&'static Rule>,
        all_differ: bool,
    ) -> Self {
        Self {
            fields,
            rule,
            all_differ,
        }
    }

    /// Whether fields are just put behind the others, under their own names: most of them are, and then whatever others need
    /// is apart.
    #[inline(always)]
    fn is_simple(&self) -> bool {
        self.all_differ && self.rule.is_none()
    }

    /// `None` if the field is hidden.
    fn key(&self, field: &Field) -> Option<&'static str> {
        match self.rule {
            Some(rule) => rule.key(field.name()),
            None => Some(field.name()),
        }
    }

    #[inline(always)]
    fn set(&mut self, field: &Field, stored: Stored) {
        if !self.is_simple() || !self.fields.add_if_room(field.name(), stored) {
            self.set_any(field, stored);
        }
    }

    #[inline(never)]
    fn set_any(&mut self, field: &Field, stored: Stored) {
        let Some(key) = self.key(field) else { return };
        if self.all_differ {
            self.fields.add(key, stored);
        } else {
            self.fields.set(key, stored);
        }
    }

    #[inline(never)]
    fn set_any_text(&mut self, field: &Field, text: &str) {
        let Some(key) = self.key(field) else { return };
        if self.all_differ {
            self.fields.add_text(key, text);
        } else {
            self.fields.set_text(key, |buffer| buffer.push_str(text));
        }
    }
}

impl Visit for Recording<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Stored::float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Stored::int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Stored::uint(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Stored::bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !self.is_simple() || !self.fields.add_text_if_room(field.name(), value) {
            self.set_any_text(field, value);
        }
    }

    /// An error value is the text that it displays; one that says a failure is described in full as well.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let Some(key) = self.key(field) else { return };
        // An error means that a value of the program's gave up; what it wrote before stays.
        self.fields.set_text(key, |buffer| {
            let _ = write!(buffer, "{value}");
        });
        if is_error_key(key) {
            self.fields.describe(key, value);
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
