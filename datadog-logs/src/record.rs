//! A record, from its message to its end.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::thread;

use datadog_transport::{ErrorReport, ErrorStack};

use crate::Value;
use crate::draft::Draft;
use crate::logs::Shared;

/// Datadog's standard name of a stack trace.
pub(crate) const STACK: &str = "error.stack";

/// A log record that is being written. It is taken when it is dropped.
pub struct Record {
    /// `None` where nobody would get the record.
    open: Option<Open>,
}

struct Open {
    shared: Arc<Shared>,
    draft: Box<Draft>,
    /// Has a backtrace, whose functions the worker names.
    stack: Option<Box<ErrorStack>>,
}

impl Record {
    pub(crate) fn new(shared: Arc<Shared>, draft: Box<Draft>) -> Self {
        Self {
            open: Some(Open {
                shared,
                draft,
                stack: None,
            }),
        }
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
    pub(crate) fn set<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        if let Some(open) = &mut self.open {
            if key == STACK {
                open.stack = None;
            }
            let redaction = &open.shared.redaction;
            open.draft.attribute(key, &value.into(), redaction);
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
    pub(crate) fn with_thread_name(self) -> Self {
        if self.open.is_none() {
            return self;
        }
        match thread::current().name() {
            Some(name) => self.with("logger.thread_name", name),
            None => self,
        }
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
        if self.open.is_some() {
            self.finish();
        }
    }
}

impl Record {
    /// Not inlined, so that a record that nobody would get is no call.
    #[inline(never)]
    fn finish(&mut self) {
        match self.open.take() {
            Some(Open {
                shared,
                draft,
                stack: None,
            }) => shared.hand_over(draft),
            Some(Open {
                shared,
                draft,
                stack: Some(stack),
            }) => shared.hand_over_later(draft, stack),
            None => {}
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
