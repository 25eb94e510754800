//! Whether this is still the process that made the client.
//!
//! A forked child has no worker thread, and locks and queues as other threads of the parent happened to leave
//! them. So a client does nothing in a child but count; the child makes a client of its own.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::alone::Alone;
use crate::profiled;

/// How many forks lie between this process and the one that counted first.
static FORKS: Alone<AtomicU32> = Alone(AtomicU32::new(0));

/// The process that something was made in. To ask costs one load, on paths where `getpid` would be half the cost.
#[derive(Clone, Copy, Debug)]
pub struct Birthplace {
    forks: u32,
}

impl Default for Birthplace {
    fn default() -> Self {
        Self::here()
    }
}

impl Birthplace {
    /// This process.
    pub fn here() -> Self {
        static WATCH: Once = Once::new();
        WATCH.call_once(watch);
        Self {
            forks: FORKS.0.load(Ordering::Relaxed),
        }
    }

    /// Whether this is the process that it names, and not one forked from that.
    #[inline]
    pub fn is_here(self) -> bool {
        self.forks == FORKS.0.load(Ordering::Relaxed)
    }
}

fn watch() {
    // SAFETY: `count_fork` is a function without arguments that lives as long as the program, and does nothing
    // but atomic operations, which are safe in a child of a process with several threads. If there is no memory
    // to register it, forks go unnoticed, as they would without it.
    #[expect(
        unsafe_code,
        reason = "no maintained crate offers pthread_atfork as a safe function"
    )]
    let _ = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
}

extern "C" fn count_fork() {
    FORKS.0.fetch_add(1, Ordering::Relaxed);
    profiled::stop();
}
