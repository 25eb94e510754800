//! Panics, told by a hook of the process, for the spans that they happen in.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use datadog_transport::{context, on_worker};
use parking_lot::Mutex;

use crate::span_data::SpanData;

/// The most panics that are remembered: one whose span never ends is forgotten some day.
const MOST: usize = 64;

/// How long to wait for the list. Not for ever: in a forked child who holds it may not be there.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a panic says about itself.
#[derive(Debug)]
struct Panic {
    message: String,
    stack: String,
}

/// Panics by the spans that were active.
static NOTED: Mutex<Vec<(u64, Arc<Panic>)>> = Mutex::new(Vec::new());

/// How many they are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The last panic of the thread.
    static LAST: RefCell<Option<Arc<Panic>>> = const { RefCell::new(None) };
}

/// Marks the span that is active where a panic happens as failed, with the panic's message and place, even if somebody
/// catches the panic before it leaves the span. So are the spans that it goes through on its way.
///
/// Puts a hook before the one that is there, which is called afterwards. Only the first call does.
pub fn fail_spans_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !on_worker() {
                note(info);
            }
            previous(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let mut stack = info
        .location()
        .map_or_else(String::new, |place| format!("at {place}"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        stack.push('\n');
        stack.push_str(&backtrace.to_string());
    }
    let message = message(info).to_owned();
    let panic = Arc::new(Panic { message, stack });
    let _ = LAST.try_with(|last| *last.borrow_mut() = Some(Arc::clone(&panic)));
    let Some(active) = context::active() else {
        return;
    };
    let Some(mut noted) = NOTED.try_lock_for(PATIENCE) else {
        return;
    };
    // A span that catches panics tells the last one, and leaves none behind when it ends.
    noted.retain(|(span_id, _)| *span_id != active.span_id);
    if noted.len() == MOST {
        noted.remove(0);
    }
    noted.push((active.span_id, panic));
    COUNT.store(noted.len(), Ordering::Relaxed);
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

/// Whether a span that ends on this thread may have seen a panic.
#[inline]
pub(crate) fn are_seen() -> bool {
    thread::panicking() || are_noted()
}

#[inline]
fn are_noted() -> bool {
    COUNT.load(Ordering::Relaxed) != 0
}

/// What a span that ends has seen of panics.
#[cold]
pub(crate) fn tell(data: &mut SpanData) {
    let panicking = thread::panicking();
    let own = take(data.span_id);
    let passing = || LAST.try_with(|last| last.borrow().clone()).ok().flatten();
    let panic = own.or_else(|| panicking.then(passing).flatten());
    let (message, stack) = match &panic {
        Some(panic) => (&*panic.message, &*panic.stack),
        None if panicking => ("the thread panicked inside this span", ""),
        None => return,
    };
    data.error = true;
    for (key, text) in [
        ("error.type", "panic"),
        ("error.message", message),
        ("error.stack", stack),
    ] {
        if !text.is_empty() {
            data.tags.set_text(key.into(), text);
        }
    }
}

fn take(span_id: u64) -> Option<Arc<Panic>> {
    if !are_noted() {
        return None;
    }
    let mut noted = NOTED.try_lock_for(PATIENCE)?;
    let at = noted.iter().position(|(id, _)| *id == span_id)?;
    let (_, panic) = noted.remove(at);
    COUNT.store(noted.len(), Ordering::Relaxed);
    Some(panic)
}
