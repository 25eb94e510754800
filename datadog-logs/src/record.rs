//! A record, from its message to its end.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::error::Error;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;
use std::thread;

use datadog_transport::{ErrorReport, ErrorStack};

use crate::draft::Draft;
use crate::logs::Shared;
use crate::{Value, encode};

/// Datadog's standard name of a stack trace.
pub(crate) const STACK: &str = "error.stack";

/// A log record that is being written. It is taken when it is dropped.
pub struct Record {
    /// `None` where nobody would get the record.
    open: Option<Box<Open>>,
}

/// A record that somebody gets.
pub(crate) struct Open {
    shared: Arc<Shared>,
    pub(crate) draft: Draft,
    /// Has a backtrace, whose functions the worker names.
    stack: Option<Box<ErrorStack>>,
}

thread_local! {
    /// What this thread wrote last. The next record has its memory, its client and its header.
    static SPARE: Cell<Option<Box<Open>>> = const { Cell::new(None) };

    /// The name of this thread, which it keeps.
    static THREAD_NAME: OnceCell<Option<Box<str>>> = const { OnceCell::new() };
}

impl Open {
    /// A record to be written, of this client.
    #[inline]
    pub(crate) fn take(shared: &Arc<Shared>) -> Box<Self> {
        match SPARE.try_with(Cell::take) {
            Ok(Some(open)) if Arc::ptr_eq(&open.shared, shared) => open,
            _ => Self::new(shared),
        }
    }

    #[cold]
    fn new(shared: &Arc<Shared>) -> Box<Self> {
        Box::new(Self {
            shared: Arc::clone(shared),
            draft: Draft::default(),
            stack: None,
        })
    }

    /// Not inlined, so that a record that nobody would get is no call.
    #[inline(never)]
    fn finish(mut self: Box<Self>) {
        if let Some(stack) = self.stack.take() {
            let draft = Box::new(mem::take(&mut self.draft));
            return self.shared.hand_over_later(draft, stack);
        }
        self.shared.hand_over(&mut self.draft);
        if self.draft.is_small() {
            let _ = SPARE.try_with(|spare| spare.set(Some(self)));
        }
    }

    /// Adds an attribute. Values of the commonest types are taken apart where the type is known.
    #[inline(always)]
    fn set(&mut self, key: &str, value: Value<'_>) {
        // These have nothing to drop, which the compiler can't see.
        let value = ManuallyDrop::new(value);
        match *value {
            Value::Text(Cow::Borrowed(text)) => self.set_text(key, text),
            Value::UInt(number) => self.set_uint(key, number),
            Value::Int(number) => self.set_int(key, number),
            Value::Bool(truth) => self.set_bool(key, truth),
            _ => self.set_value(key, &ManuallyDrop::into_inner(value)),
        }
    }

    #[inline(never)]
    fn set_text(&mut self, key: &str, text: &str) {
        let redaction = &self.shared.redaction;
        self.draft.attribute_with(key, redaction, |json| {
            encode::text(json, &redaction.scrub(text));
        });
        self.replace_stack(key);
    }

    #[inline(never)]
    fn set_uint(&mut self, key: &str, number: u64) {
        let write = |json: &mut Vec<u8>| encode::uint(json, number);
        self.draft
            .attribute_with(key, &self.shared.redaction, write);
        self.replace_stack(key);
    }

    #[inline(never)]
    fn set_int(&mut self, key: &str, number: i64) {
        let write = |json: &mut Vec<u8>| encode::int(json, number);
        self.draft
            .attribute_with(key, &self.shared.redaction, write);
        self.replace_stack(key);
    }

    #[inline(never)]
    fn set_bool(&mut self, key: &str, truth: bool) {
        let text: &[u8] = if truth { b"true" } else { b"false" };
        let write = |json: &mut Vec<u8>| json.extend_from_slice(text);
        self.draft
            .attribute_with(key, &self.shared.redaction, write);
        self.replace_stack(key);
    }

    #[inline(never)]
    fn set_value(&mut self, key: &str, value: &Value<'_>) {
        self.draft.attribute(key, value, &self.shared.redaction);
        self.replace_stack(key);
    }

    /// An attribute replaces the stack of an error as any other.
    #[inline]
    fn replace_stack(&mut self, key: &str) {
        if self.stack.is_some() && key == STACK {
            self.stack = None;
        }
    }
}

impl Record {
    #[inline]
    pub(crate) fn new(open: Box<Open>) -> Self {
        Self { open: Some(open) }
    }

    /// A record that nobody would get.
    #[inline]
    pub(crate) fn none() -> Self {
        Self { open: None }
    }

    /// Adds an attribute. A later one of the same key replaces the earlier; a key that Datadog reserves (`message`,
    /// `status`, `timestamp`, `service`, `hostname`, `ddsource`, `ddtags`, `dd` and `dd.…`) gets the prefix
    /// `custom.`. Of a key that `DD_LOGS_REDACTED_KEYS` names only `[redacted]` is sent. Texts are cut and
    /// attributes left out where the record would be larger than 1 MB, and so are attributes beyond 1,000.
    #[inline]
    pub fn with<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds what an error says about itself: `error.kind`, `error.message`, and `error.stack` with its sources and,
    /// where `RUST_BACKTRACE` asks for one, a backtrace of this call. A record with a backtrace is finished by the
    /// worker, and so comes after others that were written a moment later; its timestamp is right.
    pub fn with_error<E: Error + ?Sized>(self, error: &E) -> Self {
        if self.open.is_none() {
            return self;
        }
        self.with_report(ErrorReport::of(error))
    }

    /// [`Record::with`] in place.
    #[inline]
    pub(crate) fn set<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        if let Some(open) = &mut self.open {
            open.set(key, value.into());
        }
    }

    /// Adds the attributes of a logger.
    pub(crate) fn with_all(mut self, attributes: &Draft) -> Self {
        if let Some(open) = &mut self.open {
            open.draft.append(attributes);
        }
        self
    }

    /// Adds the name of this thread, if it has one.
    pub(crate) fn with_thread_name(mut self) -> Self {
        if let Some(open) = &mut self.open {
            let _ = THREAD_NAME.try_with(|name| {
                let name = name.get_or_init(|| thread::current().name().map(Box::from));
                if let Some(name) = name {
                    open.set_text("logger.thread_name", name);
                }
            });
        }
        self
    }

    pub(crate) fn with_report(self, report: ErrorReport) -> Self {
        let mut record = self
            .with("error.kind", &report.kind)
            .with("error.message", &report.message);
        match (report.stack, &mut record.open) {
            (Some(stack), Some(open))
                if stack.has_backtrace() && !open.shared.redaction.hides(STACK) =>
            {
                open.stack = Some(Box::new(stack));
                record
            }
            (Some(stack), Some(_)) => record.with(STACK, stack.to_string()),
            _ => record,
        }
    }
}

impl Drop for Record {
    #[inline]
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.finish();
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("draft", &self.open.as_ref().map(|open| &open.draft))
            .finish_non_exhaustive()
    }
}
