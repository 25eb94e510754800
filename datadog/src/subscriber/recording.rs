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

    /// `None` if the field is hidden.
    #[inline]
    fn key(&self, field: &Field) -> Option<&'static str> {
        match self.rule {
            Some(rule) => rule.key(field.name()),
            None => Some(field.name()),
        }
    }

    // Into each of its callers, so that the value is not put together elsewhere first.
    #[inline(always)]
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
