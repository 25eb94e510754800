//! The bounded queue between callers and the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use crossbeam::queue::SegQueue;

use crate::fork::Birthplace;
use crate::{Account, DropReason, Waker};

/// A queue bounded in bytes: many callers push, the worker pops.
///
/// A push never blocks. What does not fit is dropped and counted as [`DropReason::QueueFull`], so what is
/// already waiting keeps its place; after [`Queue::close`] everything is dropped as [`DropReason::Shutdown`], and
/// in a forked child as [`DropReason::Forked`].
/// The worker is woken once, when the queue passes half its limit.
#[derive(Debug)]
pub struct Queue<T> {
    entries: SegQueue<Entry<T>>,
    bytes: AtomicUsize,
    limit: usize,
    closed: AtomicBool,
    account: Arc<Account>,
    waker: Waker,
    birthplace: Birthplace,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    items: u64,
    bytes: usize,
}

impl<T> Queue<T> {
    /// An empty queue of at most `limit` bytes, that counts into `account` and wakes by `waker`.
    pub fn new(limit: usize, account: Arc<Account>, waker: Waker) -> Self {
        Self {
            entries: SegQueue::new(),
            bytes: AtomicUsize::new(0),
            limit,
            closed: AtomicBool::new(false),
            account,
            waker,
            birthplace: Birthplace::here(),
        }
    }

    /// Takes `value`, which stands for `items` items of the account and owns about `bytes` bytes of the heap.
    pub fn push(&self, value: T, items: u64, bytes: usize) {
        self.account.accept(items);
        if !self.birthplace.is_here() {
            return self.account.drop_items(DropReason::Forked, items);
        }
        if self.closed.load(Ordering::Acquire) {
            return self.account.drop_items(DropReason::Shutdown, items);
        }
        let bytes = bytes + size_of::<Entry<T>>();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.limit {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return self.account.drop_items(DropReason::QueueFull, items);
        }
        self.account.queued(items as i64);
        self.entries.push(Entry {
            value,
            items,
            bytes,
        });
        // With the fence in `close`: either this push sees that the queue is closed, or `close` sees the entry.
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Relaxed) {
            return self.drain();
        }
        let mark = self.limit / 2;
        if before < mark && before + bytes >= mark {
            self.waker.wake();
        }
    }

    /// Takes out the oldest value, with the number of items it stands for.
    pub fn pop(&self) -> Option<(T, u64)> {
        let entry = self.entries.pop()?;
        self.bytes.fetch_sub(entry.bytes, Ordering::Relaxed);
        self.account.queued(-(entry.items as i64));
        Some((entry.value, entry.items))
    }

    /// Refuses everything from now on, and drops what still waits.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.drain();
    }

    fn drain(&self) {
        while let Some((_, items)) = self.pop() {
            self.account.drop_items(DropReason::Shutdown, items);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SignalKind;
    use crate::worker::channel;

    const ENTRY: usize = size_of::<Entry<&str>>();

    fn queue(limit: usize) -> (Queue<&'static str>, Arc<Account>, crate::worker::Controls) {
        let (sender, controls) = channel();
        let account = Arc::new(Account::default());
        (
            Queue::new(
                limit,
                Arc::clone(&account),
                Waker::new(SignalKind::Logs, sender),
            ),
            account,
            controls,
        )
    }

    #[test]
    fn keeps_order_and_drops_what_does_not_fit() {
        let (queue, account, _controls) = queue(10 + 2 * ENTRY);
        queue.push("a", 1, 6);
        queue.push("too much", 2, 5 + ENTRY);
        queue.push("b", 1, 4);
        let full = account.snapshot();
        assert_eq!(
            (
                full.accepted,
                full.buffered,
                full.dropped.get(DropReason::QueueFull)
            ),
            (4, 2, 2)
        );
        assert_eq!(queue.pop(), Some(("a", 1)));
        assert_eq!(queue.pop(), Some(("b", 1)));
        assert_eq!(queue.pop(), None);
        queue.push("fits again", 1, 10 + ENTRY);
        assert_eq!(account.snapshot().buffered, 1);
    }

    #[test]
    fn wakes_the_worker_once_at_half_its_limit() {
        let (queue, _account, controls) = queue(8 * ENTRY);
        queue.push("a", 1, 3 * ENTRY - 1);
        assert!(controls.is_empty());
        queue.push("b", 1, 1);
        queue.push("c", 1, 1);
        assert_eq!(controls.len(), 1);
    }

    #[test]
    fn a_closed_queue_counts_everything_as_shutdown() {
        let (queue, account, _controls) = queue(100);
        queue.push("waits", 3, 1);
        queue.close();
        queue.push("late", 1, 1);
        let health = account.snapshot();
        assert_eq!(
            (
                health.accepted,
                health.buffered,
                health.dropped.get(DropReason::Shutdown)
            ),
            (4, 0, 4)
        );
    }
}
