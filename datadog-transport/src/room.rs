//! The memory of a signal, for what waits raw and what waits encoded.

use std::sync::Arc;

use crate::sync::{AtomicUsize, Ordering};

/// The bytes that a [`Queue`](crate::Queue) and an [`Outbox`](crate::Outbox) may occupy together. While the receiver
/// takes everything, the queue may have nearly all of them, so that it holds the longest burst; while it takes nothing,
/// what waits in the outbox is missing in the queue. So is what callers still keep for the queue.
#[derive(Debug)]
pub struct Room {
    limit: usize,
    queue: AtomicUsize,
    outbox: AtomicUsize,
    /// What callers keep for the queue: at most a quarter.
    aside: AtomicUsize,
}

impl Room {
    /// Room for `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            queue: AtomicUsize::new(0),
            outbox: AtomicUsize::new(0),
            aside: AtomicUsize::new(0),
        })
    }

    /// Takes `bytes` for the queue, if there is room for them. What the queue has then.
    pub(crate) fn queue(&self, bytes: usize) -> Option<usize> {
        let queue = self.queue.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let aside = self.aside.load(Ordering::Relaxed);
        let fits = queue + aside + self.outbox.load(Ordering::Relaxed) <= self.limit;
        if !fits {
            self.unqueue(bytes);
        }
        fits.then_some(queue)
    }

    /// Takes `bytes` for what callers keep, if there is room for them.
    pub(crate) fn set_aside(&self, bytes: usize) -> bool {
        let aside = self.aside.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let queue = self.queue.load(Ordering::Relaxed);
        let all = aside + queue + self.outbox.load(Ordering::Relaxed);
        let fits = aside <= self.limit / 4 && all <= self.limit;
        if !fits {
            self.take_aside(bytes);
        }
        fits
    }

    pub(crate) fn take_aside(&self, bytes: usize) {
        self.aside.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unqueue(&self, bytes: usize) {
        self.queue.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes what the outbox has. Whether there is room for it.
    pub(crate) fn set_outbox(&self, bytes: usize) -> bool {
        self.outbox.store(bytes, Ordering::Relaxed);
        let aside = self.aside.load(Ordering::Relaxed);
        self.queue.load(Ordering::Relaxed) + aside + bytes <= self.limit
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.queue.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(datadog_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_the_other_has_not() {
        let room = Room::new(100);
        assert!(room.set_outbox(30));
        assert_eq!(room.queue(71), None);
        assert_eq!(room.queue(50), Some(50));
        assert_eq!(room.queue(20), Some(70));
        assert!(!room.set_outbox(31));
        room.unqueue(60);
        assert!(room.set_outbox(90));
        assert_eq!((room.queue(1), room.queued()), (None, 10));
    }

    #[test]
    fn what_callers_keep_is_missing_in_the_others_and_is_a_quarter_at_most() {
        let room = Room::new(100);
        assert!(!room.set_aside(26) && room.set_aside(20) && !room.set_aside(6));
        assert_eq!(room.queue(81), None);
        assert_eq!(room.queue(78), Some(78));
        assert!(room.set_outbox(2) && !room.set_outbox(3) && !room.set_aside(1));
        room.take_aside(20);
        assert!(room.set_outbox(22));
    }
}
