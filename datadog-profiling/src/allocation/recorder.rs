//! What a sample does, and who asks for samples.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::live::{Held, Live};
use super::stacks::{Lost, Stacks};
use super::{Weight, countdown};
use crate::callers::Callers;
use crate::counted::Values;
use crate::owner::Owner;
use crate::recordings;
use crate::sample::SpanIds;

static OWNER: Owner = Owner::none();

/// Whether a [`ProfiledAllocator`](super::ProfiledAllocator) serves this program.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Whether what is in use is wanted.
static FOLLOWING: AtomicBool = AtomicBool::new(false);

/// Whether that was wanted once. Never off again: what was noted has to be found when it is freed.
static FOLLOWED: AtomicBool = AtomicBool::new(false);

static LIVE: Live = Live::new();
static STACKS: Stacks = Stacks::new();
static COUNTERS: Counters = Counters::new();

struct Counters {
    samples: AtomicU64,
    lost_busy: AtomicU64,
    lost_full: AtomicU64,
    not_followed: AtomicU64,
    allocated_milli_objects: AtomicU64,
    allocated_bytes: AtomicU64,
    freed_milli_objects: AtomicU64,
    freed_bytes: AtomicU64,
}

/// What the allocations of this process sum up to, as far as they were recorded. Estimates from samples, except for
/// the numbers of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocationFigures {
    /// Allocations made.
    pub allocated_objects: u64,
    /// Bytes allocated.
    pub allocated_bytes: u64,
    /// Allocations that were not freed yet. 0 where [`profiling_heap_enabled`] was never on.
    ///
    /// [`profiling_heap_enabled`]: datadog_config::DDConfig::profiling_heap_enabled
    pub in_use_objects: u64,
    /// Bytes that were not freed yet. 0 where `profiling_heap_enabled` was never on.
    pub in_use_bytes: u64,
    /// Samples taken.
    pub samples: u64,
    /// Samples that were not taken, because two threads had the same place to write to, or there were too many
    /// different stacks.
    pub samples_dropped: u64,
    /// Samples of which it is not known when they are freed, because too much memory was in use.
    pub samples_not_followed: u64,
}

/// What was recorded of the allocations of this process since its start. All 0 where no
/// [`ProfiledAllocator`](super::ProfiledAllocator) is installed or nothing was recorded.
pub fn allocation_figures() -> AllocationFigures {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &COUNTERS;
    // What was freed first, so that it is never more than what was allocated.
    let (freed_objects, freed_bytes) = (
        get(&counters.freed_milli_objects),
        get(&counters.freed_bytes),
    );
    let (objects, bytes) = (
        get(&counters.allocated_milli_objects),
        get(&counters.allocated_bytes),
    );
    let followed = FOLLOWED.load(Ordering::Relaxed);
    let in_use = |all: u64, freed: u64| {
        if followed {
            all.saturating_sub(freed)
        } else {
            0
        }
    };
    AllocationFigures {
        allocated_objects: objects / 1000,
        allocated_bytes: bytes,
        in_use_objects: in_use(objects, freed_objects) / 1000,
        in_use_bytes: in_use(bytes, freed_bytes),
        samples: get(&counters.samples),
        samples_dropped: get(&counters.lost_busy) + get(&counters.lost_full),
        samples_not_followed: get(&counters.not_followed),
    }
}

/// Allocations are recorded while this exists.
#[derive(Debug)]
pub(crate) struct Recording {
    /// Whether what is in use is wanted.
    in_use: bool,
}

impl Recording {
    /// Starts to record, and with `in_use` also what is not freed. `None` where the program has another allocator.
    pub(crate) fn start(in_use: bool) -> Result<Option<Self>, String> {
        if !INSTALLED.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if !OWNER.take() {
            return Err(
                "can't record allocations: another profiler of this process does".to_owned(),
            );
        }
        FOLLOWING.store(in_use, Ordering::Relaxed);
        // Before anything is noted: whoever frees that has heard of it from the one who noted it.
        FOLLOWED.fetch_or(in_use, Ordering::Relaxed);
        Ok(Some(Self { in_use }))
    }

    /// Tells of each stack that allocated since the last time, by spans, or has something in use where that is wanted.
    pub(crate) fn drain(&self, take: &mut dyn FnMut(Box<[usize]>, Option<SpanIds>, Values)) {
        STACKS.drain(&mut |stack, span, mut values| {
            if !self.in_use {
                values.leave_in_use();
            }
            take(stack, span, values);
        });
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        OWNER.release();
    }
}

/// To be called after an allocation when [`countdown::count`] says so.
#[cold]
#[inline(never)]
pub(super) fn due(address: usize, size: usize) {
    INSTALLED.store(true, Ordering::Relaxed);
    let due = countdown::begin(size, OWNER.is_here());
    if due.sample {
        match sample(address, Weight::of(size)) {
            Ok(()) => &COUNTERS.samples,
            Err(Lost::Busy) => &COUNTERS.lost_busy,
            Err(Lost::Full) => &COUNTERS.lost_full,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

fn sample(address: usize, weight: Weight) -> Result<(), Lost> {
    let held = STACKS.allocate(Callers::here().as_slice(), recordings::span(), weight)?;
    let counters = &COUNTERS;
    counters
        .allocated_milli_objects
        .fetch_add(held.milli_objects, Ordering::Relaxed);
    counters
        .allocated_bytes
        .fetch_add(held.bytes, Ordering::Relaxed);
    let following = FOLLOWING.load(Ordering::Relaxed);
    if !following || !LIVE.insert(address, held) {
        counters
            .not_followed
            .fetch_add(following.into(), Ordering::Relaxed);
        free(held);
    }
    Ok(())
}

fn free(held: Held) {
    STACKS.free(held);
    let counters = &COUNTERS;
    counters
        .freed_milli_objects
        .fetch_add(held.milli_objects, Ordering::Relaxed);
    counters
        .freed_bytes
        .fetch_add(held.bytes, Ordering::Relaxed);
}

/// Whether [`freed`] has to be called before the allocation at this address is freed.
#[inline(always)]
pub(super) fn is_followed(address: usize) -> bool {
    FOLLOWED.load(Ordering::Relaxed) && LIVE.may_hold(address)
}

/// Forgets an allocation that is about to be freed or moved.
#[cold]
#[inline(never)]
pub(super) fn freed(address: usize) {
    if let Some(held) = LIVE.remove(address) {
        free(held);
    }
}

impl Counters {
    const fn new() -> Self {
        Self {
            samples: AtomicU64::new(0),
            lost_busy: AtomicU64::new(0),
            lost_full: AtomicU64::new(0),
            not_followed: AtomicU64::new(0),
            allocated_milli_objects: AtomicU64::new(0),
            allocated_bytes: AtomicU64::new(0),
            freed_milli_objects: AtomicU64::new(0),
            freed_bytes: AtomicU64::new(0),
        }
    }
}
