//! A record, from its message to its end.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::thread;

use datadog_transport::ErrorReport;

use crate::Value;
use crate::draft::Draft;
use crate::logs::Shared;

/// A log record that is being written. It is taken when it is dropped.
pub struct Record {
    /// `None` where nobody would get the record.
    open: Option<Open>,
}

struct Open {
    shared: Arc<Shared>,
    draft: Box<Draft>,
}

impl Record {
    pub(crate) fn new(shared: Arc<Shared>, draft: Box<Draft>) -> Self {
        Self {
            open: Some(Open { shared, draft }),
        }
    }

    /// A record that nobody would get.
    #[inline]
    pub(crate) fn none() -> Self {
        Self { open: None }
    }

    /// Adds an attribute. A later one of the same key replaces the earlier; a key that Datadog reserves (`message`,
    /// `status`, `timestamp`, `service`, `hostname`, `ddsource`, `ddtags`, `dd` and `dd.…`) gets the prefix
    /// `custom.`. Of a key that `DD_LOGS_REDACTED_KEYS` names only `[redacted]` is sent. Texts are cut and attributes left out where the record would be larger than 1 MB.
    pub fn with<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds what an error says about itself: `error.kind`, `error.message`, and `error.stack` with its sources and,
    /// where `RUST_BACKTRACE` asks for one, a backtrace of this call.
    pub fn with_error<E: Error + ?Sized>(self, error: &E) -> Self {
        if self.open.is_none() {
            return self;
        }
        self.with_report(&ErrorReport::of(error))
    }

    /// [`Record::with`] in place.
    pub(crate) fn set<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        if let Some(open) = &mut self.open {
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

    pub(crate) fn with_report(self, report: &ErrorReport) -> Self {
        let record = self
            .with("error.kind", &report.kind)
            .with("error.message", &report.message);
        match &report.stack {
            Some(stack) => record.with("error.stack", stack),
            None => record,
        }
    }
}

impl Drop for Record {
    #[inline]
    fn drop(&mut self) {
        if let Some(Open { shared, draft }) = self.open.take() {
            shared.hand_over(draft);
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
