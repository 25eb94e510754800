//! The handle: where records start, and where finished ones are handed to the worker.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use datadog_config::DDConfig;
use datadog_transport::{
    Account, DropReason, ErrorReport, ErrorStack, Seat, Signal, SignalKind, Standalone,
    TransportBuilder, TransportError, Waker, context,
};

use crate::buffer::Buffer;
use crate::correlation::{self, Correlation, TraceIdForm};
use crate::destination::Destination;
use crate::draft::Draft;
use crate::lines::LinesSink;
use crate::panic::Stacks;
use crate::record::Open;
use crate::redact::Redaction;
use crate::sink::{Idle, IntakeSink};
use crate::throttle::Throttle;
use crate::{DDLogHandler, Level, LogFormat, Logger, Record, encode, panic, preamble};

/// Writes log records. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Logs {
    shared: Arc<Shared>,
}

/// What the records of one client share.
#[derive(Debug)]
pub(crate) struct Shared {
    preamble: Vec<u8>,
    /// `None` with `DD_LOGS_INJECTION` off.
    trace_ids: Option<TraceIdForm>,
    /// For loggers of plain text.
    labels: String,
    pub(crate) redaction: Arc<Redaction>,
    logs_panics: AtomicBool,
    throttle: Throttle,
    account: Arc<Account>,
    waker: Waker,
    /// `None` where there is no receiver.
    buffer: Option<Arc<Buffer>>,
}

impl Logs {
    /// Starts logs with a worker of their own, for a program that uses this crate alone.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn start(config: &DDConfig) -> Result<Standalone<Self>, TransportError> {
        Standalone::start(config, Self::join)
    }

    /// Adds the logs signal to a client that is being put together. With the intake as their output, but neither an
    /// API key nor a URL of an intake, records are counted as dropped.
    ///
    /// # Errors
    ///
    /// [`TransportError::TlsMissing`] for an `https` intake without the feature `tls`.
    pub fn join(transport: &mut TransportBuilder) -> Result<Self, TransportError> {
        let config = transport.config().clone();
        let shared = if let Some(destination) = Destination::of(config.logs_output()) {
            add(transport, |buffer, account| {
                LinesSink::new(destination, buffer, account)
            })
        } else if let Some(url) = config.logs_intake_url() {
            let intake = transport.intake(url)?;
            let outbox_bytes = config.logs_buffer_bytes() / 3 * 2;
            add(transport, |buffer, account| {
                IntakeSink::new(intake, buffer, outbox_bytes, account)
            })
        } else {
            transport.warn(
                "logs have no receiver and are dropped: set DD_API_KEY, DD_LOGS_DIRECT_SUBMISSION_URL or DD_LOGS_OUTPUT",
            );
            transport.add(SignalKind::Logs, |seat| {
                let redaction = Arc::new(Redaction::of(&config));
                (Idle, Shared::new(&config, redaction, seat, None))
            })
        };
        let logs = Self {
            shared: Arc::new(shared),
        };
        if config.crashtracking_enabled() {
            logs.shared.logs_panics.store(true, Ordering::Relaxed);
            panic::install(logs.clone(), Stacks::Always);
        }
        Ok(logs)
    }

    /// Starts a record. Attributes may be added to what this returns; the record is taken when that is dropped,
    /// so a plain `logs.log(level, "text");` is complete.
    #[inline]
    pub fn log(&self, level: Level, message: impl AsRef<str>) -> Record {
        self.start_record(level, message.as_ref())
    }

    #[inline(never)]
    fn start_record(&self, level: Level, message: &str) -> Record {
        self.write(level, |json| {
            encode::text(json, &self.redaction().scrub(message));
        })
    }

    /// Starts a record of level error with what `error` displays as its message, and the attributes of
    /// [`Record::with_error`].
    pub fn exception<E: Error + ?Sized>(&self, error: &E) -> Record {
        let report = ErrorReport::of(error);
        self.log(Level::Error, &report.message).with_report(report)
    }

    /// A logger with a name, to which attributes and a level may be given.
    pub fn get_logger(&self, name: impl AsRef<str>) -> Logger {
        Logger::new(self.clone(), name.as_ref())
    }

    /// Logs every panic of the program from now on, as a record of level critical with `error.kind` `panic`, the
    /// panic's message and place, and a backtrace where `RUST_BACKTRACE` asks for one. The hook that is there
    /// before is called as well.
    ///
    /// The record is only buffered, as any other: a program that is built with `panic = "abort"` ends before it
    /// is sent. With [`DDConfig::crashtracking_enabled`] panics are logged from the start, each with a backtrace, and this
    /// does nothing more.
    pub fn log_panics(&self) {
        if !self.shared.logs_panics.swap(true, Ordering::Relaxed) {
            panic::install(self.clone(), Stacks::IfAsked);
        }
    }

    /// A logger for the `log` crate that writes here. It may outlive the client, and then drops what it gets.
    pub fn handler(&self) -> DDLogHandler {
        DDLogHandler::new(self.clone())
    }

    /// What a logger of plain text adds to a line written now on this thread, so that Datadog can tie it to the trace.
    pub fn correlation(&self) -> Correlation<'_> {
        Correlation {
            labels: &self.shared.labels,
            form: self.shared.trace_ids,
            span: context::active(),
        }
    }

    /// A record of the `log` crate as a line of text, for the format of a logger of plain text.
    pub fn log_format<'a>(&'a self, record: &'a log::Record<'a>) -> LogFormat<'a> {
        LogFormat {
            time: SystemTime::now(),
            level: record.level(),
            target: record.target(),
            file: record.file(),
            line: record.line(),
            message: *record.args(),
            correlation: self.correlation(),
        }
    }

    /// Starts a record whose message `message` writes as a JSON text.
    pub(crate) fn write(&self, level: Level, message: impl FnOnce(&mut Vec<u8>)) -> Record {
        let shared = &self.shared;
        let span = context::active();
        let left_out = match shared.buffer {
            Some(_) => shared.throttle.leaves_out(level, span),
            None => Some(DropReason::NoReceiver),
        };
        if let Some(reason) = left_out {
            shared.account.accept(1);
            shared.account.drop_items(reason, 1);
            return Record::none();
        }
        let span = span.zip(shared.trace_ids);
        let mut open = Open::take(shared);
        open.draft.begin(level, &shared.preamble, span, message);
        Record::new(open)
    }

    pub(crate) fn redaction(&self) -> &Redaction {
        &self.shared.redaction
    }

    /// Asks the worker to send soon.
    pub(crate) fn wake(&self) {
        self.shared.waker.wake();
    }
}

/// Adds a signal that takes records out of a buffer.
fn add<S: Signal + 'static>(
    transport: &mut TransportBuilder,
    make: impl FnOnce(Arc<Buffer>, Arc<Account>) -> S,
) -> Shared {
    let config = transport.config().clone();
    transport.add(SignalKind::Logs, |seat| {
        let account = Arc::clone(&seat.account);
        let bytes = config.logs_buffer_bytes() / 3;
        let redaction = Arc::new(Redaction::of(&config));
        let buffer = Buffer::new(
            bytes,
            Arc::clone(&redaction),
            Arc::clone(&account),
            seat.waker.clone(),
        );
        let sink = make(Arc::clone(&buffer), account);
        (sink, Shared::new(&config, redaction, seat, Some(buffer)))
    })
}

impl Shared {
    fn new(
        config: &DDConfig,
        redaction: Arc<Redaction>,
        seat: Seat,
        buffer: Option<Arc<Buffer>>,
    ) -> Self {
        Self {
            preamble: preamble::of(config),
            trace_ids: TraceIdForm::of(config),
            labels: correlation::labels(config),
            redaction,
            logs_panics: AtomicBool::new(false),
            throttle: Throttle::of(config),
            account: seat.account,
            waker: seat.waker,
            buffer,
        }
    }

    /// Takes a record that lacks the backtrace of its error.
    pub(crate) fn hand_over_later(&self, draft: Box<Draft>, stack: Box<ErrorStack>) {
        if let Some(buffer) = &self.buffer {
            buffer.push_later(draft, stack);
        }
    }

    /// Takes a finished record.
    pub(crate) fn hand_over(&self, draft: &mut Draft) {
        match (draft.close(), &self.buffer) {
            (Some(entry), Some(buffer)) => buffer.push(entry),
            _ => {
                self.account.accept(1);
                self.account.drop_items(DropReason::TooLarge, 1);
            }
        }
    }
}
