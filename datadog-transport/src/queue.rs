//! The bounded queue between callers and the worker.

use std::sync::Arc;

use crate::fork::Birthplace;
use crate::sync::{AtomicBool, Ordering, SegQueue, fence};
use crate::{Account, DropReason, Room, Waker};

/// A queue bounded in bytes: many callers push, the worker pops.
///
/// A push never blocks. What does not fit is dropped and counted as [`DropReason::QueueFull`], so what is
/// already waiting keeps its place; after [`Queue::close`] everything is dropped as [`DropReason::Shutdown`], and
/// in a forked child as [`DropReason::Forked`].
/// The worker is woken at a mark: when the queue is half full, or as [`Queue::within`] says.
#[derive(Debug)]
pub struct Queue<T> {
    entries: SegQueue<Entry<T>>,
    room: Arc<Room>,
    /// At so many bytes the worker is woken.
    mark: usize,
    closed: AtomicBool,
    account: Arc<Account>,
    waker: Waker,
    birthplace: Birthplace,
}

/// What a caller keeps for a [`Queue`], because more belongs to it that is still to come: it is accepted, and waits.
#[derive(Debug, Default)]
#[must_use = "it has to be pushed in the end"]
pub struct Aside {
    items: u64,
    bytes: usize,
}

impl Aside {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }
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
        Self::within(Room::new(limit), limit / 2, account, waker)
    }

    /// An empty queue that shares its `room` with an [`Outbox`](crate::Outbox), and wakes the worker when it has `mark`
    /// bytes.
    pub fn within(room: Arc<Room>, mark: usize, account: Arc<Account>, waker: Waker) -> Self {
        Self {
            entries: SegQueue::new(),
            room,
            mark,
            closed: AtomicBool::new(false),
            account,
            waker,
            birthplace: Birthplace::here(),
        }
    }

    /// Takes `value`, which stands for `items` items of the account and owns about `bytes` bytes of the heap. What is dropped
    /// at once comes back, for its memory.
    pub fn push(&self, value: T, items: u64, bytes: usize) -> Option<T> {
        self.push_with(value, items, bytes, Aside::default())
    }

    /// Takes `value` like [`Queue::push`]. What of it was [set aside](Queue::set_aside) is accepted already.
    #[inline]
    pub fn push_with(&self, value: T, items: u64, bytes: usize, aside: Aside) -> Option<T> {
        self.account.accept(items.saturating_sub(aside.items));
        if !aside.is_empty() {
            self.room.take_aside(aside.bytes);
        }
        if !self.birthplace.is_here() {
            self.refuse(DropReason::Forked, items, &aside);
            return Some(value);
        }
        if self.closed.load(Ordering::Acquire) {
            self.refuse(DropReason::Shutdown, items, &aside);
            return Some(value);
        }
        let bytes = Self::bytes_of(bytes);
        let Some(queued) = self.room.queue(bytes) else {
            self.refuse(DropReason::QueueFull, items, &aside);
            return Some(value);
        };
        self.account.queued(items as i64 - aside.items as i64);
        self.entries.push(Entry {
            value,
            items,
            bytes,
        });
        // With the fence in `close`: either this push sees that the queue is closed, or `close` sees the entry.
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Relaxed) {
            self.drain();
        } else if queued >= self.mark {
            // Not only whoever passes the mark: the worker may have just looked, and missed this entry.
            self.waker.wake();
        }
        None
    }

    /// Accepts `items` of about `bytes` bytes of the heap, which the caller keeps until it pushes them. Whether there is
    /// room for them: if not, or in a forked child, nothing happens.
    pub fn set_aside(&self, aside: &mut Aside, items: u64, bytes: usize) -> bool {
        let fits = self.birthplace.is_here() && self.room.set_aside(bytes);
        if fits {
            self.account.accept(items);
            self.account.queued(items as i64);
            aside.items += items;
            aside.bytes += bytes;
        }
        fits
    }

    #[cold]
    fn refuse(&self, reason: DropReason, items: u64, aside: &Aside) {
        self.account.queued(-(aside.items as i64));
        self.account.drop_items(reason, items);
    }

    /// What a value that owns `bytes` bytes of the heap takes up.
    pub(crate) const fn bytes_of(bytes: usize) -> usize {
        bytes + size_of::<Entry<T>>()
    }

    /// Takes out the oldest value, with the number of items it stands for.
    pub fn pop(&self) -> Option<(T, u64)> {
        let entry = self.entries.pop()?;
        self.room.unqueue(entry.bytes);
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

#[cfg(all(test, not(datadog_loom)))]
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
        assert_eq!(queue.push("a", 1, 6), None);
        assert_eq!(queue.push("too much", 2, 5 + ENTRY), Some("too much"));
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
    fn what_is_set_aside_is_accepted_once_and_waits_until_it_is_pushed_or_dropped() {
        let (queue, account, _controls) = queue(1000);
        let known = || {
            let health = account.snapshot();
            (health.accepted, health.buffered, health.dropped.total())
        };
        let mut aside = Aside::default();
        assert!(queue.set_aside(&mut aside, 2, 100) && queue.set_aside(&mut aside, 1, 50));
        assert!(!queue.set_aside(&mut aside, 1, 101), "a quarter is full");
        assert_eq!(known(), (3, 3, 0));
        queue.push_with("three and one more", 4, 200, aside);
        assert_eq!(known(), (4, 4, 0));
        assert_eq!(queue.pop(), Some(("three and one more", 4)));
        assert_eq!(known(), (4, 0, 0));
        let mut aside = Aside::default();
        assert!(queue.set_aside(&mut aside, 2, 250), "there is room again");
        queue.close();
        queue.push_with("late", 2, 250, aside);
        assert_eq!(known(), (6, 0, 2));
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

    #[test]
    fn many_threads_lose_nothing_while_it_is_emptied_and_closed() {
        const THREADS: u64 = 8;
        const EACH: u64 = if cfg!(miri) { 100 } else { 10_000 };
        let (queue, account, _controls) = queue(200 * ENTRY);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|_| _ = queue.push("x", 1, 1)));
            }
            scope.spawn(|| {
                while account.snapshot().delivered < THREADS * EACH / 8 {
                    while let Some((_, items)) = queue.pop() {
                        account.deliver(items, 0);
                    }
                    if account.snapshot().accepted == THREADS * EACH {
                        break;
                    }
                }
                queue.close();
            });
        });
        let health = account.snapshot();
        let known = health.delivered + health.dropped.total();
        assert_eq!((health.accepted, health.buffered), (THREADS * EACH, 0));
        assert_eq!(known, THREADS * EACH, "{health:?}");
        assert_eq!(queue.room.queued(), 0);
        assert!(health.delivered > 0, "{health:?}");
    }
}

/// `cargo xtask verify loom`
#[cfg(all(test, datadog_loom))]
mod model {
    use loom::thread;

    use super::*;
    use crate::worker::{Controls, channel};
    use crate::{SignalHealth, SignalKind};

    fn queue(limit: usize) -> (Arc<Queue<()>>, Controls) {
        let (sender, controls) = channel();
        let waker = Waker::new(SignalKind::Logs, sender);
        let queue = Queue::new(limit, Arc::new(Account::default()), waker);
        (Arc::new(queue), controls)
    }

    /// Up to three switches away from a thread that could go on, which finds nearly all there is to find.
    fn try_every_order(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    fn balanced(queue: &Queue<()>) -> SignalHealth {
        let health = queue.account.snapshot();
        let known = health.delivered + health.dropped.total() + health.buffered;
        assert_eq!(health.accepted, known, "{health:?}");
        health
    }

    /// What a worker does with one entry.
    fn deliver(queue: &Queue<()>) -> bool {
        let popped = queue.pop();
        if let Some(((), items)) = popped {
            queue.account.deliver(items, 0);
        }
        popped.is_some()
    }

    fn push_on(queue: &Arc<Queue<()>>) -> thread::JoinHandle<()> {
        let queue = Arc::clone(queue);
        thread::spawn(move || _ = queue.push((), 1, 10))
    }

    #[test]
    fn nothing_stays_behind_in_a_queue_that_is_closed_meanwhile() {
        try_every_order(|| {
            let (queue, _controls) = queue(1000);
            let others = [push_on(&queue), push_on(&queue)];
            queue.close();
            for other in others {
                other.join().unwrap();
            }
            let health = balanced(&queue);
            assert_eq!(health.buffered, 0);
            assert_eq!(health.dropped.get(DropReason::Shutdown), 2);
        });
    }

    #[test]
    fn the_limit_holds_and_the_bytes_of_what_was_popped_are_free_again() {
        try_every_order(|| {
            let size = 10 + size_of::<Entry<()>>();
            let (queue, _controls) = queue(size);
            let others = [push_on(&queue), push_on(&queue)];
            let mut popped = u64::from(deliver(&queue));
            for other in others {
                other.join().unwrap();
            }
            let health = balanced(&queue);
            assert!(health.buffered <= 1, "{health:?}");
            popped += u64::from(deliver(&queue));
            let health = balanced(&queue);
            assert_eq!((health.accepted, health.buffered), (2, 0));
            assert_eq!(popped, 2 - health.dropped.get(DropReason::QueueFull));
            assert!(popped >= 1);
            assert_eq!(queue.room.queued(), 0);
        });
    }

    #[test]
    fn what_is_pushed_beyond_the_mark_is_popped_or_has_a_wake_up_on_its_way() {
        try_every_order(|| {
            let size = 10 + size_of::<Entry<()>>();
            let (queue, controls) = queue(2 * size);
            let others = [push_on(&queue), push_on(&queue)];
            // The worker, twice at most: a wake-up, then everything is popped.
            for _ in 0..2 {
                // Loom knows nothing of the channel, and looks at other orders only here.
                queue.room.queued();
                if controls.try_recv().is_ok() {
                    queue.waker.arrived();
                    while deliver(&queue) {}
                }
            }
            for other in others {
                other.join().unwrap();
            }
            let left = balanced(&queue).buffered as usize * size;
            assert!(left < size || !controls.is_empty(), "{left} bytes sleep");
        });
    }
}
