//! Where the layer keeps its open spans. The registry's extensions would take a search in the registry, a lock, a search by
//! type and memory for each of the four calls in a span's life; a slot takes a lock. What finds its slot taken goes
//! into the extensions.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::MutexGuard;
use tracing_core::Subscriber;
use tracing_core::span::Id;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::lock::Lock;
use super::open_span::OpenSpan;

/// How many there are: 2 to the power of this.
const BITS: u32 = 10;

/// The bits of an id that say where the registry keeps a span (sharded-slab 0.1: 38 of `page::Addr`, 13 of `Tid`). Were they
/// others, spans would only be slower.
const PLACE: u64 = (1 << 51) - 1;

/// Open spans by their ids.
pub(super) struct Slots {
    slots: Box<[Line]>,
    /// How many open spans are in the extensions.
    elsewhere: AtomicUsize,
}

/// One line of the cache.
#[derive(Default)]
#[repr(align(64))]
struct Line(Lock<Slot>);

const _: () = assert!(size_of::<Line>() == 64);

#[derive(Default)]
struct Slot {
    /// 0 if it is free.
    id: u64,
    open: Option<OpenSpan>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..1 << BITS).map(|_| Line::default()).collect(),
            elsewhere: AtomicUsize::new(0),
        }
    }

    /// Keeps a span until it is [taken](Self::take).
    // What is put together where it stays goes there in registers: a copy would wait for its own writes.
    #[inline(always)]
    pub(super) fn put<S>(&self, id: &Id, open: impl FnOnce() -> OpenSpan, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if let Some(mut slot) = self.slot(id)
            && slot.id == 0
        {
            slot.id = id.into_u64();
            slot.open = Some(open());
            return;
        }
        self.put_elsewhere(id, open(), context);
    }

    #[cold]
    #[inline(never)]
    fn put_elsewhere<S>(&self, id: &Id, open: OpenSpan, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if let Some(span) = context.span(id) {
            self.elsewhere.fetch_add(1, Ordering::Relaxed);
            span.extensions_mut().replace(open);
        }
    }

    /// Calls `work` with a span, if it is here. It holds a lock: `work` must call nothing of the program's.
    #[inline]
    pub(super) fn with<S, T>(
        &self,
        id: &Id,
        context: &Context<'_, S>,
        work: impl FnOnce(&mut OpenSpan) -> T,
    ) -> Option<T>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if let Some(mut slot) = self.slot(id)
            && slot.id == id.into_u64()
        {
            return slot.open.as_mut().map(work);
        }
        if self.is_all() {
            return None;
        }
        let span = context.span(id)?;
        let mut extensions = span.extensions_mut();
        extensions.get_mut::<OpenSpan>().map(work)
    }

    /// Takes a span that is over.
    #[inline]
    pub(super) fn take<S>(&self, id: &Id, context: &Context<'_, S>) -> Option<OpenSpan>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        if let Some(mut slot) = self.slot(id)
            && slot.id == id.into_u64()
        {
            slot.id = 0;
            return slot.open.take();
        }
        if self.is_all() {
            return None;
        }
        let taken = context.span(id)?.extensions_mut().remove::<OpenSpan>()?;
        self.elsewhere.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
    }

    /// Takes all spans that are here, and tells of each with its id.
    pub(super) fn take_all(&self, mut tell: impl FnMut(u64, OpenSpan)) {
        for Line(lock) in &self.slots {
            let taken = lock.lock().map(|mut slot| mem::take(&mut *slot));
            if let Some(Slot {
                id,
                open: Some(open),
            }) = taken
            {
                tell(id, open);
            }
        }
    }

    /// Whether there are no others.
    fn is_all(&self) -> bool {
        // Whoever knows the id of a span that was put elsewhere sees the count that it made.
        self.elsewhere.load(Ordering::Relaxed) == 0
    }

    /// The slot of a span. See [`Lock::lock`] for `None`.
    #[inline]
    fn slot(&self, id: &Id) -> Option<MutexGuard<'_, Slot>> {
        // Without the registry's count of how often it gave the rest of the id: the spans that come after each other share
        // a slot, which is then in the cache. Ids of different threads are alike in their low bits; a product mixes all of
        // them (D. E. Knuth, The Art of Computer Programming, volume 3, section 6.4).
        let place = id.into_u64() & PLACE;
        let mixed = place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.slots[(mixed >> (u64::BITS - BITS)) as usize].0.lock()
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("elsewhere", &self.elsewhere)
            .finish_non_exhaustive()
    }
}
