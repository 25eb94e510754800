//! Finished entries on their way from the callers to the worker.

use std::cell::Cell;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam::queue::SegQueue;
use crossbeam::utils::CachePadded;
use datadog_transport::{Account, Birthplace, DropReason, ErrorStack, Waker};
use parking_lot::Mutex;

use crate::draft::Draft;
use crate::redact::Redaction;

/// How many threads write without ever waiting for each other. More share.
const SHARDS: usize = 8;

/// The size of a block. A larger entry gets a block of its own.
const BLOCK_BYTES: usize = 64 * 1024;

/// How many entries may lack their backtraces. One occupies some 10 KB.
const MAX_LATE: usize = 256;

/// How many empty blocks are kept: new memory costs the caller a page fault every 4 KB.
const MAX_SPARE: usize = 16;

/// Entries of all threads, bounded in bytes.
///
/// Each thread appends to the open block of a shard, under a lock that it practically has for itself; a full block
/// goes into a queue. So an entry costs one copy and no allocation, and the worker gets entries by the hundred.
#[derive(Debug)]
pub(crate) struct Buffer {
    shards: [CachePadded<Mutex<Block>>; SHARDS],
    full: SegQueue<Block>,
    /// Entries whose backtraces the worker is to write.
    late: Mutex<Vec<Late>>,
    spare: SegQueue<Vec<u8>>,
    /// The bytes of all blocks, empty places included.
    bytes: AtomicUsize,
    limit: usize,
    redaction: Arc<Redaction>,
    closed: AtomicBool,
    account: Arc<Account>,
    waker: Waker,
    birthplace: Birthplace,
}

/// An entry that lacks its backtrace. To name the functions takes too long for a caller.
type Late = (Box<Draft>, Box<ErrorStack>);

/// Entries in the order of writing, a newline after each; JSON text has none.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) lines: Vec<u8>,
    pub(crate) entries: u64,
    /// How many of them the account knows of.
    pub(crate) counted: u64,
}

thread_local! {
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Buffer {
    /// An empty buffer of at most `limit` bytes, that counts into `account` and wakes by `waker`.
    pub(crate) fn new(
        limit: usize,
        redaction: Arc<Redaction>,
        account: Arc<Account>,
        waker: Waker,
    ) -> Arc<Self> {
        let buffer = Arc::new(Self {
            shards: Default::default(),
            full: SegQueue::new(),
            late: Mutex::new(Vec::new()),
            spare: SegQueue::new(),
            bytes: AtomicUsize::new(0),
            limit,
            redaction,
            closed: AtomicBool::new(false),
            account,
            waker,
            birthplace: Birthplace::here(),
        });
        let counting = Arc::downgrade(&buffer);
        buffer
            .account
            .refresh_with(move || _ = counting.upgrade().map(|buffer| buffer.count()));
        buffer
    }

    /// Tells the account of the entries of open blocks: one shared counter more for each would be felt.
    fn count(&self) {
        if self.birthplace.is_here() {
            for shard in &self.shards {
                self.count_block(&mut shard.lock());
            }
        }
    }

    fn count_block(&self, block: &mut Block) {
        let new = block.entries - block.counted;
        block.counted = block.entries;
        self.account.accept(new);
        self.account.queued(new as i64);
    }

    /// Takes an entry, or counts why not.
    pub(crate) fn push(&self, entry: &[u8]) {
        // A fork copies locks as other threads happened to hold them.
        let outcome = if self.birthplace.is_here() {
            self.append(entry, false)
        } else {
            Err(DropReason::Forked)
        };
        if let Err(reason) = outcome {
            self.account.accept(1);
            self.account.drop_items(reason, 1);
        }
    }

    /// Takes an entry that lacks its backtrace, or counts why not.
    pub(crate) fn push_later(&self, draft: Box<Draft>, stack: Box<ErrorStack>) {
        self.account.accept(1);
        if !self.birthplace.is_here() {
            return self.account.drop_items(DropReason::Forked, 1);
        }
        let mut late = self.late.lock();
        if self.closed.load(Ordering::Relaxed) {
            return self.account.drop_items(DropReason::Shutdown, 1);
        }
        if late.len() >= MAX_LATE {
            return self.account.drop_items(DropReason::QueueFull, 1);
        }
        late.push((draft, stack));
        self.account.queued(1);
        if late.len() >= MAX_LATE / 2 {
            self.waker.wake();
        }
    }

    /// Writes the backtraces of the entries that lack them, unless it is too late for that, too.
    fn finish_late(&self) {
        let late = mem::take(&mut *self.late.lock());
        for (mut draft, stack) in late {
            let outcome = if self.closed.load(Ordering::Relaxed) {
                Err(DropReason::Shutdown)
            } else {
                draft.late_stack(&self.redaction.scrub(&stack.to_string()));
                match draft.close() {
                    Some(entry) => self.append(entry, true),
                    None => Err(DropReason::TooLarge),
                }
            };
            if let Err(reason) = outcome {
                self.account.queued(-1);
                self.account.drop_items(reason, 1);
            }
        }
    }

    /// Appends an entry; `counted` if the account knows of it.
    fn append(&self, entry: &[u8], counted: bool) -> Result<(), DropReason> {
        let mut open = self.shards[shard_of_thread()].lock();
        // Asked under the lock, so that `close` finds every entry that was let in.
        if self.closed.load(Ordering::Relaxed) {
            return Err(DropReason::Shutdown);
        }
        let needed = entry.len() + 1;
        if open.lines.capacity() - open.lines.len() < needed && !self.next_block(&mut open, needed)
        {
            return Err(DropReason::QueueFull);
        }
        open.lines.extend_from_slice(entry);
        open.lines.push(b'\n');
        open.entries += 1;
        open.counted += u64::from(counted);
        Ok(())
    }

    /// Puts the open blocks where [`Buffer::pop`] finds them, behind those that were filled before them.
    pub(crate) fn collect(&self) {
        self.finish_late();
        for shard in &self.shards {
            let mut open = shard.lock();
            if open.entries > 0 {
                self.count_block(&mut open);
                self.full.push(mem::take(&mut open));
            }
        }
    }

    /// The oldest full block. Its entries still count as queued.
    pub(crate) fn pop(&self) -> Option<Block> {
        let block = self.full.pop()?;
        self.bytes
            .fetch_sub(block.lines.capacity(), Ordering::Relaxed);
        Some(block)
    }

    /// Takes back the memory of a block, for another.
    pub(crate) fn give_back(&self, block: Block) {
        let mut lines = block.lines;
        if lines.capacity() == BLOCK_BYTES && self.spare.len() < MAX_SPARE {
            lines.clear();
            self.spare.push(lines);
        }
    }

    /// Refuses everything from now on, and drops what still waits.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.collect();
        while let Some(block) = self.pop() {
            self.account.queued(-(block.entries as i64));
            self.account.drop_items(DropReason::Shutdown, block.entries);
        }
        while self.spare.pop().is_some() {}
    }

    /// Replaces a block that is full, if the limit allows another.
    fn next_block(&self, open: &mut Block, needed: usize) -> bool {
        let size = needed.max(BLOCK_BYTES);
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        if before + size > self.limit {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return false;
        }
        let next = Block {
            lines: self.memory(size),
            ..Block::default()
        };
        // What the allocator gives beyond what was asked for counts too: `pop` subtracts it.
        self.bytes
            .fetch_add(next.lines.capacity() - size, Ordering::Relaxed);
        let mut filled = mem::replace(open, next);
        self.count_block(&mut filled);
        if filled.entries > 0 {
            self.full.push(filled);
        }
        // Not only whoever passes the mark: the worker may have just looked, and missed this block.
        if before + size >= self.limit / 2 {
            self.waker.wake();
        }
        true
    }

    fn memory(&self, size: usize) -> Vec<u8> {
        let spare = (size == BLOCK_BYTES).then(|| self.spare.pop()).flatten();
        spare.unwrap_or_else(|| Vec::with_capacity(size))
    }
}

/// Spreads the threads over the shards.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let own = SHARD.try_with(|shard| {
        shard.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            shard.set(Some(next));
            next
        })
    });
    own.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use datadog_config::DDConfig;
    use datadog_transport::{Pass, Signal, SignalHealth, SignalKind, TransportBuilder};

    use super::*;

    struct NoSignal;

    impl Signal for NoSignal {
        fn period(&self) -> Duration {
            Duration::from_secs(3600)
        }

        fn run(&mut self, _pass: &Pass) -> Option<Instant> {
            None
        }

        fn close(&mut self) {}
    }

    /// A buffer, and the account that it counts into.
    fn buffer(limit: usize) -> (Arc<Buffer>, Arc<Account>) {
        let config = DDConfig::builder()
            .environment([("", ""); 0])
            .build()
            .unwrap();
        TransportBuilder::new(&config).add(SignalKind::Logs, |seat| {
            let buffer = Buffer::new(limit, Arc::default(), Arc::clone(&seat.account), seat.waker);
            (NoSignal, (buffer, seat.account))
        })
    }

    fn balanced(account: &Account) -> SignalHealth {
        let health = account.snapshot();
        assert_eq!(
            health.accepted,
            health.delivered + health.dropped.total() + health.buffered
        );
        health
    }

    #[test]
    fn what_does_not_fit_is_counted_and_memory_stays_under_the_limit() {
        let limit = 4 * BLOCK_BYTES;
        let (buffer, account) = buffer(limit);
        let made = 10_000;
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..made / 4).for_each(|_| buffer.push(&[b'x'; 99])));
            }
        });
        buffer.push(&vec![b'x'; 2 * limit]);
        let health = balanced(&account);
        assert_eq!(health.accepted, made + 1);
        assert!(health.dropped.get(DropReason::QueueFull) > made / 2);
        assert!(health.buffered >= 100, "{health:?}");
        assert!(buffer.bytes.load(Ordering::Relaxed) <= limit);

        buffer.collect();
        let blocks: Vec<_> = std::iter::from_fn(|| buffer.pop()).collect();
        let entries: u64 = blocks.iter().map(|block| block.entries).sum();
        assert_eq!(entries, health.buffered);
        let lines: usize = blocks.iter().map(|block| block.lines.len()).sum();
        assert_eq!(lines as u64, entries * 100);
        let allocated: usize = blocks.iter().map(|block| block.lines.capacity()).sum();
        assert!(allocated <= limit);
        assert_eq!(buffer.bytes.load(Ordering::Relaxed), 0);
        buffer.push(b"fits again");
        assert_eq!(account.snapshot().buffered, entries + 1);
    }

    #[test]
    fn a_thread_s_entries_keep_their_order_across_blocks() {
        let (buffer, _account) = buffer(64 * BLOCK_BYTES);
        let entries: Vec<Vec<u8>> = (0..20_000u32)
            .map(|number| number.to_string().into_bytes())
            .collect();
        for (at, entry) in entries.iter().enumerate() {
            buffer.push(entry);
            if at % 7_000 == 0 {
                buffer.collect();
            }
        }
        buffer.collect();
        let lines: Vec<u8> = std::iter::from_fn(|| buffer.pop())
            .flat_map(|block| block.lines)
            .collect();
        let lines: Vec<_> = lines.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines[..entries.len()], entries);
        assert_eq!(lines[entries.len()], b"");
    }

    #[test]
    fn nothing_stays_behind_when_it_closes_while_others_write() {
        let (buffer, account) = buffer(64 * BLOCK_BYTES);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| buffer.push(b"entry")));
            }
            scope.spawn(|| buffer.close());
        });
        let health = balanced(&account);
        assert_eq!((health.accepted, health.buffered), (20_000, 0));
        assert_eq!(health.dropped.get(DropReason::Shutdown), 20_000);
    }
}
