//! The memory of finished spans whose traces are not.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes of finished spans that wait for other spans of their traces.
const MOST_BYTES: usize = 8 << 20;

/// Bytes that unfinished traces of one tracer occupy.
#[derive(Debug, Default)]
pub(crate) struct Parked(AtomicUsize);

impl Parked {
    /// Takes `bytes`, if there is room for them.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let fits = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_more_than_there_is_room_for() {
        let parked = Parked::default();
        assert!(parked.take(MOST_BYTES - 10));
        assert!(parked.take(10));
        assert!(!parked.take(1));
        parked.give_back(5);
        assert!(parked.take(5));
        assert_eq!(parked.0.load(Ordering::Relaxed), MOST_BYTES);
    }
}
