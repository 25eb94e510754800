//! Wakes another thread from a signal handler.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::timer::sys;

/// What one thread waits for and any thread may ring, a signal handler too. A ring that nobody waits for is kept, once.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: AtomicU32,
}

impl Bell {
    pub(crate) const fn new() -> Self {
        Self {
            rung: AtomicU32::new(0),
        }
    }

    pub(crate) fn ring(&self) {
        if self.rung.swap(1, Ordering::AcqRel) == 0 {
            sys::wake(&self.rung);
        }
    }

    /// Waits until it rings, at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        if self.rung.load(Ordering::Acquire) == 0 {
            sys::wait_while(&self.rung, 0, limit);
        }
        self.rung.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_ring_ends_the_wait_whichever_comes_first() {
        let bell = Bell::new();
        let started = Instant::now();
        bell.ring();
        bell.ring();
        bell.wait(LONG);
        thread::scope(|scope| {
            scope.spawn(|| bell.wait(LONG));
            bell.ring();
        });
        assert!(started.elapsed() < LONG);
    }

    #[test]
    fn a_ring_is_heard_once() {
        let bell = Bell::new();
        bell.ring();
        bell.wait(LONG);
        let started = Instant::now();
        let limit = Duration::from_millis(20);
        while started.elapsed() < limit {
            bell.wait(limit);
        }
    }
}
