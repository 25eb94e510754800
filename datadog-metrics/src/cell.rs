//! Where one thread writes the values of one context.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::samples::{Budget, Samples};

/// How many samples a thread keeps for one context before it moves them to the context. 256 bytes, and the cost of the
/// move's lock is shared by as many values.
const RING: u64 = 32;

/// What one thread submitted to one context. Only its thread writes it, so plain loads and stores do; all numbers only
/// grow, so a reader needs no reset that could race with a write.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Values submitted. Written last, so that whoever sees it sees what it counts.
    hits: AtomicU64,
    /// Sum of a count, modulo 2⁶⁴.
    sum: AtomicU64,
    /// Samples, as bits, at their number modulo [`RING`]. Empty for kinds without samples.
    ring: Box<[AtomicU64]>,
    /// How many samples were moved out of the ring.
    folded: AtomicU64,
    /// The context was evicted: the thread is to look it up anew.
    retired: AtomicBool,
}

impl Cell {
    pub(crate) fn new(with_samples: bool) -> Self {
        let ring = if with_samples { RING } else { 0 };
        Self {
            hits: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            ring: (0..ring).map(|_| AtomicU64::new(0)).collect(),
            folded: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// Counts one value without anything else.
    #[inline]
    pub(crate) fn hit(&self) {
        let hits = self.hits.load(Ordering::Relaxed);
        self.hits.store(hits + 1, Ordering::Release);
    }

    /// Adds to the sum. So small are the values that no thread could make the sum wrap between two looks of the worker, which
    /// come every few seconds.
    #[inline]
    pub(crate) fn add(&self, value: i32) {
        let value = i64::from(value);
        let sum = self.sum.load(Ordering::Relaxed);
        self.sum
            .store(sum.wrapping_add(value as u64), Ordering::Relaxed);
        self.hit();
    }

    /// Keeps a sample. Returns whether the ring may be full now, so that its samples must be moved before the next one.
    #[inline(always)]
    pub(crate) fn sample(&self, value: f64) -> bool {
        let hits = self.hits.load(Ordering::Relaxed);
        if let Some(slot) = self.ring.get((hits % RING) as usize) {
            slot.store(value.to_bits(), Ordering::Relaxed);
        }
        self.hits.store(hits + 1, Ordering::Release);
        // Moved at least once a turn, it never holds more than a turn's samples.
        (hits + 1).is_multiple_of(RING)
    }

    /// Moves the samples out of the ring. Never by two at once: the context's lock sees to that.
    pub(crate) fn fold(&self, hits: u64, samples: &mut Samples, budget: &Budget) {
        if self.ring.is_empty() {
            return;
        }
        let folded = self.folded.load(Ordering::Relaxed);
        let passed = samples.pass_over(hits - folded);
        for number in folded + passed..hits {
            if let Some(slot) = self.ring.get((number % RING) as usize) {
                samples.push(f64::from_bits(slot.load(Ordering::Relaxed)), budget);
            }
        }
        self.folded.store(hits, Ordering::Release);
    }

    /// Values submitted so far. To be read before [`Cell::sum`] and [`Cell::fold`].
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Acquire)
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }
}
