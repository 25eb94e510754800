//! Which threads are within spans, for a profiler that looks at those by the clock. It works empty, and costs a span one load
//! until somebody asks.

use std::cell::Cell;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::alone::Alone;

/// The most threads that are followed, of those that had spans.
pub const MOST_THREADS: usize = 1024;

/// Whether threads are followed. Never off again: a thread that is followed shows the truth for as long as it lives.
static ON: Alone<AtomicBool> = Alone(AtomicBool::new(false));

static THREADS: [Thread; MOST_THREADS] = [const { Thread::nobody() }; MOST_THREADS];

/// How many of them were ever in use, counted from the first.
static USED: AtomicUsize = AtomicUsize::new(0);

/// The process that follows. A forked child inherits all of this, but not the threads.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Of [`PLACE`]: not looked for yet; and none to be had, because there was none free at the first span, or the thread is being
/// torn down.
const NONE: u64 = u64::MAX;
const NEVER: u64 = u64::MAX - 1;

thread_local! {
    /// This thread's id, and in the lower half the number of its place among [`THREADS`]. In a forked child, another one may have
    /// that place. It has no destructor, so that a signal handler may use it at any time of the thread's life.
    static PLACE: AtomicU64 = const { AtomicU64::new(NONE) };

    /// Gives the place back when the thread ends.
    static LEAVES: Leaves = const { Leaves(Cell::new(false)) };
}

/// A thread that had a span. Each has a cache line of its own, because it writes there with each span.
#[derive(Debug)]
#[repr(align(64))]
pub struct Thread {
    /// The system's id of it; 0 for none.
    id: AtomicU32,
    is_in_span: AtomicBool,
    owed_nanos: AtomicU64,
}

/// Follows the threads from the next span of each on, for as long as the process runs.
pub fn follow() {
    let process = process::id();
    if PROCESS.swap(process, Ordering::Relaxed) != process {
        // Of a parent. The thread that forked takes a place again with its next span.
        for thread in &THREADS[..USED.load(Ordering::Relaxed)] {
            thread.id.store(0, Ordering::Relaxed);
        }
    }
    // What somebody before did not look at any more.
    for thread in &THREADS[..USED.load(Ordering::Relaxed)] {
        thread.owed_nanos.store(0, Ordering::Relaxed);
    }
    ON.0.store(true, Ordering::Relaxed);
}

/// The threads that are within spans now.
pub fn all() -> impl Iterator<Item = &'static Thread> {
    let used = &THREADS[..USED.load(Ordering::Relaxed)];
    used.iter()
        .filter(|thread| thread.is_in_span.load(Ordering::Relaxed) && thread.id() != 0)
}

/// This thread, if it is followed. A signal handler may ask.
pub fn this() -> Option<&'static Thread> {
    let place = PLACE.try_with(|place| place.load(Ordering::Relaxed)).ok()?;
    let thread = THREADS.get(place as u32 as usize)?;
    (thread.id() == (place >> 32) as u32).then_some(thread)
}

/// Says whether a span is active on this thread from now on.
#[inline]
pub(crate) fn show(is_in_span: bool) {
    if ON.0.load(Ordering::Relaxed) {
        show_followed(is_in_span);
    }
}

fn show_followed(is_in_span: bool) {
    match this() {
        Some(thread) => {
            thread.is_in_span.store(is_in_span, Ordering::Relaxed);
            if !is_in_span {
                // Where a signal did not come, or was blocked: the next span has nothing to do with it.
                thread.owed_nanos.store(0, Ordering::Relaxed);
            }
        }
        // Threads without spans are not followed.
        None if is_in_span => begin(),
        None => (),
    }
}

#[cold]
fn begin() {
    let _ = PLACE.try_with(|place| {
        if place.load(Ordering::Relaxed) != NEVER {
            place.store(place_of_this_thread().unwrap_or(NEVER), Ordering::Relaxed);
        }
    });
}

fn place_of_this_thread() -> Option<u64> {
    // Not of a thread that is being torn down.
    LEAVES.try_with(|leaves| leaves.0.set(true)).ok()?;
    let id = thread_id()?;
    let is_taken = |thread: &Thread| {
        // To try one that is another's would take the line from that thread's processor.
        let taken = || {
            thread
                .id
                .compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed)
        };
        thread.id() == 0 && taken().is_ok()
    };
    let place = THREADS.iter().position(is_taken)?;
    THREADS[place].owed_nanos.store(0, Ordering::Relaxed);
    THREADS[place].is_in_span.store(true, Ordering::Relaxed);
    USED.fetch_max(place + 1, Ordering::Relaxed);
    Some(u64::from(id) << 32 | place as u64)
}

/// The system's id of this thread (man7.org: gettid(2)).
#[cfg(target_os = "linux")]
fn thread_id() -> Option<u32> {
    #[expect(
        unsafe_code,
        reason = "no safe function tells the id, whatever is mounted"
    )]
    // SAFETY: the call takes nothing and can't fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    u32::try_from(id).ok()
}

#[cfg(not(target_os = "linux"))]
fn thread_id() -> Option<u32> {
    None
}

impl Thread {
    const fn nobody() -> Self {
        Self {
            id: AtomicU32::new(0),
            is_in_span: AtomicBool::new(false),
            owed_nanos: AtomicU64::new(0),
        }
    }

    /// The system's id of the thread. It may have ended since; 0 then, or another one has its place.
    pub fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Adds to the time in nanoseconds that the next sample of this thread stands for.
    pub fn owe(&self, nanos: u64) {
        self.owed_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Takes that time.
    pub fn take_owed(&self) -> u64 {
        self.owed_nanos.swap(0, Ordering::Relaxed)
    }
}

struct Leaves(Cell<bool>);

impl Drop for Leaves {
    fn drop(&mut self) {
        if let Some(thread) = this() {
            thread.is_in_span.store(false, Ordering::Relaxed);
            thread.id.store(0, Ordering::Relaxed);
        }
        let _ = PLACE.try_with(|place| place.store(NEVER, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::context::{self, ActiveSpan};

    const SPAN: Option<ActiveSpan> = Some(ActiveSpan {
        trace_id: 1,
        span_id: 2,
        local_root_id: 2,
    });

    fn is_found(id: u32) -> bool {
        all().any(|thread| thread.id() == id)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn threads_are_found_while_they_are_in_spans() {
        let own = thread_id().unwrap();
        follow();
        assert!(this().is_none(), "it had no span");
        context::set(None);
        assert!(this().is_none() && !is_found(own));
        context::set(SPAN);
        assert!(is_found(own));
        assert_eq!(this().map(Thread::id), Some(own));
        context::replace(None);
        assert!(!is_found(own));
        context::replace(SPAN);
        assert!(is_found(own));

        let (tell, told) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let other = thread::spawn(move || {
            context::set(SPAN);
            let this = this().unwrap();
            this.owe(3);
            this.owe(4);
            tell.send(this.id()).unwrap();
            let _ = ends.recv();
            let owed = (this.take_owed(), this.take_owed());
            this.owe(5);
            context::set(None);
            context::set(SPAN);
            assert_eq!(this.take_owed(), 0, "of the span before");
            owed
        });
        let id = told.recv().unwrap();
        assert!(is_found(id) && id != own);
        drop(end);
        assert_eq!(other.join().unwrap(), (7, 0));
        assert!(!is_found(id), "it ended within its span");

        // As in a forked child: what the parent knew is forgotten, until the next span.
        PROCESS.store(1, Ordering::Relaxed);
        follow();
        assert!(!is_found(own) && this().is_none());
        context::set(SPAN);
        assert!(is_found(own));
        context::set(None);
    }
}
