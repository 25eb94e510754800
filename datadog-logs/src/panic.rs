//! Panics as records.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};

use datadog_transport::on_worker;

use crate::{Level, Logs};

/// Which records have a backtrace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stacks {
    /// None, unless `RUST_BACKTRACE` asks for it.
    IfAsked,
    /// All.
    Always,
}

/// Puts a hook before the one that is there, which is called afterwards.
pub(crate) fn install(logs: Logs, stacks: Stacks) {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // What panics on the worker is counted there; a record of it could be the cause of the next.
        if !on_worker() {
            record(&logs, info, stacks);
        }
        previous(info);
    }));
}

fn record(logs: &Logs, info: &PanicHookInfo<'_>, stacks: Stacks) {
    let message = message(info);
    let mut record = logs
        .log(Level::Critical, message)
        .with("error.kind", "panic")
        .with("error.message", message)
        .with_thread_name();
    if let Some(place) = info.location() {
        record = record
            .with("code.file.path", place.file())
            .with("code.line.number", place.line());
    }
    let backtrace = match stacks {
        Stacks::IfAsked => Backtrace::capture(),
        Stacks::Always => Backtrace::force_capture(),
    };
    if backtrace.status() == BacktraceStatus::Captured {
        record = record.with("error.stack", backtrace.to_string());
    }
    drop(record);
}

/// The text given to `panic!`; other payloads have none.
fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the thread panicked")
}
