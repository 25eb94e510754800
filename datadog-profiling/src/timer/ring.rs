//! Where the signal handler leaves samples: a fixed number of places, without a lock.

use std::alloc::{self, Layout};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use datadog_transport::context::ActiveSpan;

use crate::sample::{Sample, SpanIds};

/// The most calls of a stack, counted from the innermost. The rest is left out.
pub(crate) const MOST_CALLS: usize = 256;

/// How many places are tried for a free one. Those that are filled while others are emptied lie together, and wait for the next time.
const TRIES: usize = 32;

pub(super) struct Ring {
    places: Box<[Place]>,
    /// Where the next sample goes, modulo the number of places. Begins anew when they are emptied, so that those that are seldom
    /// needed take no memory.
    next: AtomicUsize,
}

/// Room for one sample. All of it is atomic, so that nothing is undefined whatever a handler interrupts; only the
/// state orders.
struct Place {
    state: AtomicU8,
    thread_id: AtomicU32,
    thread_name: [AtomicU64; 2],
    span_id: AtomicU64,
    local_root_id: AtomicU64,
    periods: AtomicU64,
    wall_nanos: AtomicU64,
    time: AtomicU64,
    depth: AtomicUsize,
    stack: [AtomicUsize; MOST_CALLS],
}

const FREE: u8 = 0;
/// A handler writes it.
const TAKEN: u8 = 1;
/// A sample is in it.
const FULL: u8 = 2;

/// What a sample stands for.
#[derive(Clone, Copy)]
pub(super) enum Seen {
    /// Of CPU time.
    Periods(u64),
    /// By the wall clock.
    Nanos(u64),
}

/// A place that one handler writes to.
pub(super) struct Writer<'a>(&'a Place);

/// The stack of a sample that is being written.
pub(super) struct StackWriter<'a> {
    place: &'a Place,
    depth: usize,
}

impl Ring {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: empty(places),
            next: AtomicUsize::new(0),
        }
    }

    /// A free place. `None` where there is none. For the signal handler.
    pub(super) fn claim(&self) -> Option<Writer<'_>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..TRIES.min(self.places.len()))
            .map(|step| &self.places[first.wrapping_add(step) % self.places.len()])
            .find(|place| {
                place
                    .state
                    .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            })
            .map(Writer)
    }

    /// Empties all places that are full. For one thread at a time.
    pub(super) fn drain(&self, mut take: impl FnMut(Sample<'_>)) {
        for place in &self.places {
            if place.state.load(Ordering::Acquire) == FULL {
                place.read(&mut take);
                place.state.store(FREE, Ordering::Release);
            }
        }
        self.next.store(0, Ordering::Relaxed);
    }
}

/// Places that take no memory until something is written to them.
#[expect(
    unsafe_code,
    reason = "there is no safe way to get memory that nobody has to write zeros to"
)]
fn empty(places: usize) -> Box<[Place]> {
    const { assert!(FREE == 0) };
    // One where so many can't even be asked for.
    let layout = Layout::array::<Place>(places.max(1)).unwrap_or_else(|_| Layout::new::<Place>());
    let places = layout.size() / size_of::<Place>();
    // SAFETY: the layout has a size; zeros are values of all fields of so many places; and nobody else frees the memory.
    unsafe {
        let memory = alloc::alloc_zeroed(layout).cast::<Place>();
        if memory.is_null() {
            alloc::handle_alloc_error(layout);
        }
        Box::from_raw(ptr::slice_from_raw_parts_mut(memory, places))
    }
}

impl Writer<'_> {
    pub(super) fn thread(&self, id: u32, name: [u8; 16]) {
        self.0.thread_id.store(id, Ordering::Relaxed);
        let (halves, _) = name.as_chunks();
        for (half, bytes) in self.0.thread_name.iter().zip(halves) {
            half.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    pub(super) fn span(&self, span: Option<ActiveSpan>) {
        let (id, root) = span.map_or((0, 0), |span| (span.span_id, span.local_root_id));
        self.0.span_id.store(id, Ordering::Relaxed);
        self.0.local_root_id.store(root, Ordering::Relaxed);
    }

    /// In nanoseconds since the Unix epoch; 0 for none.
    pub(super) fn time(&self, time: u64) {
        self.0.time.store(time, Ordering::Relaxed);
    }

    /// Takes the calls, from the innermost on. There are none so far.
    pub(super) fn stack(&self) -> StackWriter<'_> {
        self.0.depth.store(0, Ordering::Relaxed);
        StackWriter {
            place: self.0,
            depth: 0,
        }
    }

    /// Leaves the place free again, without a sample.
    pub(super) fn give_back(self) {
        self.0.state.store(FREE, Ordering::Release);
    }

    /// Hands the sample over.
    pub(super) fn finish(self, seen: Seen) {
        let (periods, nanos) = match seen {
            Seen::Periods(periods) => (periods, 0),
            Seen::Nanos(nanos) => (0, nanos),
        };
        self.0.periods.store(periods, Ordering::Relaxed);
        self.0.wall_nanos.store(nanos, Ordering::Relaxed);
        self.0.state.store(FULL, Ordering::Release);
    }
}

impl StackWriter<'_> {
    /// Adds a call. False where there is no room for another one.
    #[inline]
    pub(super) fn push(&mut self, address: usize) -> bool {
        let Some(room) = self.place.stack.get(self.depth) else {
            return false;
        };
        room.store(address, Ordering::Relaxed);
        self.depth += 1;
        self.place.depth.store(self.depth, Ordering::Relaxed);
        self.depth < MOST_CALLS
    }
}

impl Place {
    fn read(&self, take: &mut impl FnMut(Sample<'_>)) {
        let mut stack = [0; MOST_CALLS];
        let depth = self.depth.load(Ordering::Relaxed).min(MOST_CALLS);
        for (copy, address) in stack.iter_mut().zip(&self.stack[..depth]) {
            *copy = address.load(Ordering::Relaxed);
        }
        let mut name = [0; 16];
        for (bytes, half) in name.chunks_mut(8).zip(&self.thread_name) {
            bytes.copy_from_slice(&half.load(Ordering::Relaxed).to_ne_bytes());
        }
        let length = name.iter().position(|byte| *byte == 0);
        let id = self.span_id.load(Ordering::Relaxed);
        let wall_nanos = self.wall_nanos.load(Ordering::Relaxed);
        take(Sample {
            stack: &stack[..depth],
            thread: &String::from_utf8_lossy(&name[..length.unwrap_or(name.len())]),
            thread_id: self.thread_id.load(Ordering::Relaxed),
            span: (id != 0).then(|| SpanIds {
                id,
                local_root: self.local_root_id.load(Ordering::Relaxed),
            }),
            count: self.periods.load(Ordering::Relaxed),
            wall_count: u64::from(wall_nanos > 0),
            wall_nanos,
            time: self.time.load(Ordering::Relaxed),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn write(ring: &Ring, thread_id: u32, periods: u64) -> bool {
        let Some(place) = ring.claim() else {
            return false;
        };
        place.thread(thread_id, *b"worker-7\0\0\0\0\0\0\0\0");
        let span = (thread_id > 0).then(|| ActiveSpan {
            trace_id: 1,
            span_id: thread_id.into(),
            local_root_id: u64::from(thread_id) + 1,
        });
        place.span(span);
        let mut stack = place.stack();
        let _ = (0..thread_id as usize).rev().all(|call| stack.push(call));
        place.finish(Seen::Periods(periods));
        true
    }

    #[test]
    fn what_was_written_is_read_once() {
        let ring = Ring::new(4);
        assert!(write(&ring, 3, 5));
        assert!(write(&ring, 0, 1));
        let mut found = Vec::new();
        ring.drain(|sample| {
            assert_eq!(sample.thread, "worker-7");
            found.push((
                sample.thread_id,
                sample.count,
                sample.stack.to_vec(),
                sample.span,
            ));
        });
        let span = SpanIds {
            id: 3,
            local_root: 4,
        };
        assert_eq!(
            found,
            [(3, 5, vec![2, 1, 0], Some(span)), (0, 1, vec![], None)]
        );
        ring.drain(|_| panic!("it was taken out"));
    }

    #[test]
    fn a_deep_stack_is_cut() {
        let ring = Ring::new(1);
        write(&ring, 1000, 1);
        ring.drain(|sample| {
            assert_eq!(sample.stack.len(), MOST_CALLS);
            assert_eq!(sample.stack[0], 999);
        });
    }

    #[test]
    fn a_full_ring_takes_nothing_until_it_is_emptied() {
        let ring = Ring::new(3);
        let taken = (0..5).filter(|_| write(&ring, 1, 1)).count();
        assert_eq!(taken, 3);
        ring.drain(|_| ());
        assert!(write(&ring, 1, 1));
    }

    #[test]
    fn only_as_many_places_are_used_as_are_needed() {
        let ring = Ring::new(64);
        for _ in 0..10 {
            assert!((0..3).all(|_| write(&ring, 7, 1)));
            ring.drain(|_| ());
        }
        let used = |place: &&Place| place.thread_id.load(Ordering::Relaxed) != 0;
        assert_eq!(ring.places.iter().filter(used).count(), 3);
    }

    #[test]
    fn many_writers_and_a_reader_lose_nothing() {
        const EACH: u64 = 2000;
        let ring = Ring::new(16);
        let (mut found, mut lost) = (0, 0);
        thread::scope(|scope| {
            let writers: Vec<_> = (1..=3)
                .map(|id| {
                    let ring = &ring;
                    scope.spawn(move || (0..EACH).filter(|_| !write(ring, id, 1)).count())
                })
                .collect();
            let mut drain = || {
                ring.drain(|sample| {
                    assert_eq!(sample.stack.len(), sample.thread_id as usize);
                    found += sample.count;
                });
            };
            while !writers.iter().all(|writer| writer.is_finished()) {
                drain();
            }
            drain();
            lost = writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .sum();
        });
        assert_eq!(found + lost as u64, 3 * EACH);
        assert!(found >= 16);
    }
}
