//! What each stack allocated, and what of that is in use.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::Weight;
use super::live::Held;
use crate::counted::Values;
use crate::sample::SpanIds;

/// Eight stacks each: at most 8192 stacks, 8 MB with 128 calls each, usually 2 MB.
/// Fewer for Miri, which looks at all of them at each call.
const BUCKETS: usize = if cfg!(miri) { 64 } else { 1024 };
const SLOTS: usize = 8;

/// How often a thread asks for a bucket that another one has, before it drops its sample. A bucket is held for some
/// 100 ns; for ever only in a forked child, by a thread that is not there.
const ATTEMPTS: usize = 256;

/// How much is told apart by spans between two drains: 0.5 to 1 MB. What comes after that is counted without its span.
const MOST_OF_SPANS: usize = if cfg!(test) { 100 } else { 16_384 };

/// How many spans of a stack are looked at for the same one again. Threads that allocate at the same place take turns.
const RECENT_SPANS: usize = 8;

/// A hash table of fixed size. A stack leaves it when its place is needed, nothing of it is in use, and what it
/// allocated was drained.
pub(super) struct Stacks {
    buckets: [Mutex<Bucket>; BUCKETS],
    in_use: [InUse; BUCKETS * SLOTS],
    /// How much is told apart by spans now.
    of_spans: AtomicUsize,
}

type Bucket = [Option<Entry>; SLOTS];

struct Entry {
    stack: Box<[usize]>,
    /// Since the last drain, as far as it belongs to no span.
    allocated: Weight,
    /// What belongs to spans. Memory in use is not told apart: it outlives them.
    of_spans: Vec<(SpanIds, Weight)>,
}

/// Changed without the bucket's lock when something is freed.
struct InUse {
    milli_objects: AtomicU64,
    bytes: AtomicU64,
}

/// Why a sample was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Another thread had the bucket for too long.
    Busy,
    /// All places are taken by stacks that have something to tell, or there is no memory for another one.
    Full,
}

impl Stacks {
    pub(super) const fn new() -> Self {
        Self {
            buckets: [const { Mutex::new([const { None }; SLOTS]) }; BUCKETS],
            in_use: [const { InUse::new() }; BUCKETS * SLOTS],
            of_spans: AtomicUsize::new(0),
        }
    }

    /// Counts an allocation as made and in use. Until [`Stacks::free`] undoes the latter, the stack stays.
    pub(super) fn allocate(
        &self,
        stack: &[usize],
        span: Option<SpanIds>,
        weight: Weight,
    ) -> Result<Held, Lost> {
        let index = index(stack);
        let mut bucket = self.try_lock(index).ok_or(Lost::Busy)?;
        let slot = self.slot(index, &bucket, stack).ok_or(Lost::Full)?;
        let number = index * SLOTS + slot;
        let entry = match &mut bucket[slot] {
            Some(entry) if *entry.stack == *stack => entry,
            place => place.insert(Entry {
                stack: boxed(stack).ok_or(Lost::Full)?,
                allocated: Weight::default(),
                of_spans: Vec::new(),
            }),
        };
        self.allocated(entry, span).add(weight);
        let held = Held {
            stack: number as u32,
            milli_objects: (weight.objects * 1000.0) as u64,
            bytes: weight.bytes as u64,
        };
        let in_use = &self.in_use[number];
        in_use
            .milli_objects
            .fetch_add(held.milli_objects, Ordering::Relaxed);
        in_use.bytes.fetch_add(held.bytes, Ordering::Relaxed);
        Ok(held)
    }

    /// Where the allocations of this stack and span are summed up.
    fn allocated<'a>(&self, entry: &'a mut Entry, span: Option<SpanIds>) -> &'a mut Weight {
        let Some(span) = span else {
            return &mut entry.allocated;
        };
        let recent = entry.of_spans.len().saturating_sub(RECENT_SPANS);
        let mut known = entry.of_spans[recent..].iter();
        if let Some(at) = known.position(|(known, _)| *known == span) {
            return &mut entry.of_spans[recent + at].1;
        }
        if self.of_spans.load(Ordering::Relaxed) >= MOST_OF_SPANS
            || entry.of_spans.try_reserve(1).is_err()
        {
            return &mut entry.allocated;
        }
        self.of_spans.fetch_add(1, Ordering::Relaxed);
        entry.of_spans.push((span, Weight::default()));
        let last = entry.of_spans.len() - 1;
        &mut entry.of_spans[last].1
    }

    pub(super) fn free(&self, held: Held) {
        let in_use = &self.in_use[held.stack as usize];
        in_use
            .milli_objects
            .fetch_sub(held.milli_objects, Ordering::Relaxed);
        in_use.bytes.fetch_sub(held.bytes, Ordering::Relaxed);
    }

    /// Tells of each stack that allocated since the last time, by spans, or has something in use.
    pub(super) fn drain(&self, take: &mut dyn FnMut(Box<[usize]>, Option<SpanIds>, Values)) {
        for index in 0..BUCKETS {
            // What is not told now is told the next time.
            let Some(mut bucket) = self.try_lock(index) else {
                continue;
            };
            for (slot, entry) in bucket.iter_mut().enumerate() {
                let Some(entry) = entry else { continue };
                let values =
                    self.values(index * SLOTS + slot, std::mem::take(&mut entry.allocated));
                if values != Values::default() {
                    take(entry.stack.clone(), None, values);
                }
                let of_spans = std::mem::take(&mut entry.of_spans);
                self.of_spans.fetch_sub(of_spans.len(), Ordering::Relaxed);
                for (span, allocated) in of_spans {
                    take(entry.stack.clone(), Some(span), allocated.values());
                }
            }
        }
    }

    fn values(&self, number: usize, allocated: Weight) -> Values {
        let in_use = &self.in_use[number];
        Values {
            in_use_objects: (in_use.milli_objects.load(Ordering::Relaxed) + 500) / 1000,
            in_use_bytes: in_use.bytes.load(Ordering::Relaxed),
            ..allocated.values()
        }
    }

    /// The place of this stack, else one that is free or can be.
    fn slot(&self, index: usize, bucket: &Bucket, stack: &[usize]) -> Option<usize> {
        let entries = || bucket.iter().enumerate();
        let own =
            entries().find(|(_, entry)| entry.as_ref().is_some_and(|entry| *entry.stack == *stack));
        let empty = || entries().find(|(_, entry)| entry.is_none());
        let idle = || {
            entries().find(|(slot, entry)| {
                let in_use = &self.in_use[index * SLOTS + slot];
                let drained = entry.as_ref().is_none_or(|entry| {
                    entry.allocated == Weight::default() && entry.of_spans.is_empty()
                });
                drained && in_use.milli_objects.load(Ordering::Relaxed) == 0
            })
        };
        let found = own.or_else(empty).or_else(idle);
        found.map(|(slot, _)| slot)
    }

    /// Never waits: not for a thread that a fork left behind, and not for this thread itself.
    fn try_lock(&self, index: usize) -> Option<MutexGuard<'_, Bucket>> {
        for _ in 0..ATTEMPTS {
            match self.buckets[index].try_lock() {
                Ok(bucket) => return Some(bucket),
                Err(TryLockError::Poisoned(bucket)) => return Some(bucket.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}

fn index(stack: &[usize]) -> usize {
    let mut hasher = DefaultHasher::new();
    stack.hash(&mut hasher);
    hasher.finish() as usize % BUCKETS
}

/// A copy; `None` where there is no memory.
fn boxed(stack: &[usize]) -> Option<Box<[usize]>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(stack.len()).ok()?;
    copy.extend_from_slice(stack);
    Some(copy.into_boxed_slice())
}

impl InUse {
    const fn new() -> Self {
        Self {
            milli_objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHT: Weight = Weight {
        objects: 1.5,
        bytes: 3000.0,
    };

    fn drained(stacks: &Stacks) -> Vec<(Box<[usize]>, Values)> {
        let mut all = Vec::new();
        stacks.drain(&mut |stack, span, sums| {
            assert_eq!(span, None);
            all.push((stack, sums));
        });
        all
    }

    #[test]
    fn allocations_are_told_apart_by_spans_as_far_as_there_is_room() {
        static STACKS: Stacks = Stacks::new();
        let span = |id| SpanIds { id, local_root: 1 };
        let stack = [1, 2];
        let of_spans = || {
            let (mut spans, mut without) = (Vec::new(), Vec::new());
            STACKS.drain(&mut |stack, span, sums| {
                assert_eq!(*stack, [1, 2]);
                match span {
                    Some(span) => spans.push((span, sums)),
                    None => without.push(sums),
                }
            });
            (spans, without)
        };
        let mut held = Vec::new();
        for id in [1, 2, 1, 2] {
            held.push(STACKS.allocate(&stack, Some(span(id)), WEIGHT).unwrap());
        }
        let twice = Values {
            allocated_objects: 3,
            allocated_bytes: 6000,
            ..Values::default()
        };
        let in_use = Values {
            in_use_objects: 6,
            in_use_bytes: 12_000,
            ..Values::default()
        };
        assert_eq!(
            of_spans(),
            (vec![(span(1), twice), (span(2), twice)], vec![in_use])
        );
        held.into_iter().for_each(|held| STACKS.free(held));
        // It has something to tell, though nothing in use.
        STACKS.free(STACKS.allocate(&stack, Some(span(1)), WEIGHT).unwrap());
        let mut same = (3..usize::MAX).filter(|other| index(&[*other]) == index(&stack));
        for _ in 0..2 * SLOTS {
            let _ = STACKS.allocate(&[same.next().unwrap()], None, WEIGHT);
        }
        let mut found = 0;
        STACKS
            .drain(&mut |stack, span, _| found += usize::from(span.is_some() && *stack == [1, 2]));
        assert_eq!(found, 1);

        for id in 1..=2 * MOST_OF_SPANS as u64 {
            STACKS.free(STACKS.allocate(&[3], Some(span(id)), WEIGHT).unwrap());
        }
        let (mut spans, mut bytes) = (0, 0);
        STACKS.drain(&mut |_, span, sums| {
            spans += usize::from(span.is_some());
            bytes += sums.allocated_bytes;
        });
        assert_eq!((spans, bytes), (MOST_OF_SPANS, MOST_OF_SPANS as u64 * 6000));
    }

    #[test]
    fn what_was_allocated_is_told_once_and_what_is_in_use_until_it_is_freed() {
        static STACKS: Stacks = Stacks::new();
        let held = STACKS.allocate(&[1, 2], None, WEIGHT).unwrap();
        STACKS.allocate(&[1, 2], None, WEIGHT).unwrap();
        STACKS.allocate(&[2, 1], None, WEIGHT).unwrap();
        let mut all = drained(&STACKS);
        all.sort();
        let twice = Values {
            allocated_objects: 3,
            allocated_bytes: 6000,
            in_use_objects: 3,
            in_use_bytes: 6000,
            ..Values::default()
        };
        assert_eq!(all[0], ([1, 2].into(), twice));
        assert_eq!(*all[1].0, [2, 1]);
        STACKS.free(held);
        let mut all = drained(&STACKS);
        all.sort();
        let rest = Values {
            in_use_objects: 2,
            in_use_bytes: 3000,
            ..Values::default()
        };
        assert_eq!(all[0], ([1, 2].into(), rest));
    }

    #[test]
    fn a_stack_without_news_gives_way_and_others_do_not() {
        static STACKS: Stacks = Stacks::new();
        let mut same = (1..usize::MAX).filter(|stack| index(&[*stack]) == 3);
        let held: Vec<_> = same
            .by_ref()
            .take(SLOTS)
            .map(|stack| STACKS.allocate(&[stack], None, WEIGHT).unwrap())
            .collect();
        let more = same.next().unwrap();
        STACKS.free(held[4]);
        assert_eq!(
            STACKS.allocate(&[more], None, WEIGHT),
            Err(Lost::Full),
            "not drained"
        );
        assert_eq!(drained(&STACKS).len(), SLOTS);
        let taken = STACKS.allocate(&[more], None, WEIGHT).unwrap();
        assert_eq!(taken.stack, held[4].stack);
        let next = same.next().unwrap();
        assert_eq!(
            STACKS.allocate(&[next], None, WEIGHT),
            Err(Lost::Full),
            "in use"
        );
    }

    #[test]
    fn a_lock_that_is_never_given_back_costs_a_sample_and_no_more() {
        static STACKS: Stacks = Stacks::new();
        let held = STACKS.buckets[index(&[1])].lock().unwrap();
        assert_eq!(STACKS.allocate(&[1], None, WEIGHT), Err(Lost::Busy));
        assert_eq!(drained(&STACKS), []);
        drop(held);
        assert!(STACKS.allocate(&[1], None, WEIGHT).is_ok());
    }
}
