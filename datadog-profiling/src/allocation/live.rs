//! The sampled allocations that are not freed yet, by address.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// A power of two. Eight addresses each: room for 32 GB of memory in use, of which a quarter can be counted on.
/// Fewer for Miri, which looks at all of them at each call.
const BUCKETS: usize = if cfg!(miri) { 64 } else { 8192 };
const SLOTS: usize = 8;

/// In place of an address while the rest is being written. No allocation is there.
const RESERVED: usize = 1;

/// What was noted of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The number of its stack.
    pub(super) stack: u32,
    /// Thousandths of allocations.
    pub(super) milli_objects: u64,
    pub(super) bytes: u64,
}

/// A hash table of fixed size. All zero at first, so that untouched parts take no memory.
///
/// Each address belongs to the thread that owns the allocation: it is inserted before anybody else knows it, and
/// removed before it is freed. So no two threads ever ask for the same one.
pub(super) struct Live {
    /// How many slots of a bucket are taken: 8 KB that answer for nearly all addresses.
    taken: [AtomicU8; BUCKETS],
    buckets: [Bucket; BUCKETS],
}

/// The addresses have a cache line to themselves.
#[repr(align(64))]
struct Bucket {
    addresses: [AtomicUsize; SLOTS],
    held: [Slot; SLOTS],
}

struct Slot {
    stack: AtomicU32,
    milli_objects: AtomicU64,
    bytes: AtomicU64,
}

impl Live {
    pub(super) const fn new() -> Self {
        Self {
            taken: [const { AtomicU8::new(0) }; BUCKETS],
            buckets: [const { Bucket::new() }; BUCKETS],
        }
    }

    /// Notes an allocation. Whether there was room for it.
    pub(super) fn insert(&self, address: usize, held: Held) -> bool {
        let index = index(address);
        let bucket = &self.buckets[index];
        for (own, slot) in bucket.addresses.iter().zip(&bucket.held) {
            // Acquire: whoever had the slot before has read it.
            let reserved = own.compare_exchange(0, RESERVED, Ordering::Acquire, Ordering::Relaxed);
            if reserved.is_ok() {
                slot.set(held);
                own.store(address, Ordering::Release);
                self.taken[index].fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    /// Whether the address could be here. Most that are not here are told apart.
    #[inline(always)]
    pub(super) fn may_hold(&self, address: usize) -> bool {
        // Relaxed is enough: whoever frees an allocation knows of it from the one who made it, and so sees all
        // that was written before.
        self.taken[index(address)].load(Ordering::Relaxed) != 0
    }

    /// Takes out what was noted of the allocation at this address.
    pub(super) fn remove(&self, address: usize) -> Option<Held> {
        let index = index(address);
        let bucket = &self.buckets[index];
        let at = bucket
            .addresses
            .iter()
            .position(|own| own.load(Ordering::Acquire) == address)?;
        let held = bucket.held[at].get();
        bucket.addresses[at].store(0, Ordering::Release);
        self.taken[index].fetch_sub(1, Ordering::Relaxed);
        Some(held)
    }
}

#[inline(always)]
fn index(address: usize) -> usize {
    // Fibonacci hashing: the high bits of the product depend on all bits of the address.
    const SHIFT: u32 = u64::BITS - BUCKETS.trailing_zeros();
    ((address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> SHIFT) as usize
}

impl Bucket {
    const fn new() -> Self {
        Self {
            addresses: [const { AtomicUsize::new(0) }; SLOTS],
            held: [const { Slot::new() }; SLOTS],
        }
    }
}

impl Slot {
    const fn new() -> Self {
        Self {
            stack: AtomicU32::new(0),
            milli_objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn set(&self, held: Held) {
        self.stack.store(held.stack, Ordering::Relaxed);
        self.milli_objects
            .store(held.milli_objects, Ordering::Relaxed);
        self.bytes.store(held.bytes, Ordering::Relaxed);
    }

    fn get(&self) -> Held {
        Held {
            stack: self.stack.load(Ordering::Relaxed),
            milli_objects: self.milli_objects.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(stack: u32) -> Held {
        Held {
            stack,
            milli_objects: 1500,
            bytes: 4096,
        }
    }

    #[test]
    fn what_is_inserted_is_taken_out_once() {
        static LIVE: Live = Live::new();
        assert!(!LIVE.may_hold(4096));
        assert!(LIVE.insert(4096, held(7)));
        assert!(LIVE.may_hold(4096));
        assert_eq!(LIVE.remove(4096), Some(held(7)));
        assert!(!LIVE.may_hold(4096));
        assert_eq!(LIVE.remove(4096), None);
    }

    #[test]
    fn a_full_bucket_takes_no_more_until_one_is_freed() {
        static LIVE: Live = Live::new();
        let mut same = (1..usize::MAX)
            .map(|at| at * 16)
            .filter(|at| index(*at) == 5);
        let taken: Vec<_> = same.by_ref().take(SLOTS).collect();
        assert!(taken.iter().all(|at| LIVE.insert(*at, held(1))));
        let more = same.next().unwrap();
        assert!(!LIVE.insert(more, held(2)));
        assert_eq!(LIVE.remove(more), None);
        assert_eq!(LIVE.remove(taken[3]), Some(held(1)));
        assert!(LIVE.insert(more, held(2)));
        assert_eq!(LIVE.remove(more), Some(held(2)));
    }

    #[test]
    fn threads_do_not_disturb_each_other() {
        static LIVE: Live = Live::new();
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        std::thread::scope(|scope| {
            for thread in 1..4 {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let address = (round % 500 * 4 + thread) * 16;
                        let stack = (round * 4 + thread) as u32;
                        if LIVE.insert(address, held(stack)) {
                            assert_eq!(LIVE.remove(address), Some(held(stack)));
                        }
                    }
                });
            }
        });
        let places = if cfg!(miri) { 90 } else { 9000 };
        assert!((0..places).all(|at| !LIVE.may_hold(at * 16)));
    }
}
