//! What the allocator of profiles adds to an allocation and its freeing. The wrapped allocator does nothing, so that its
//! cost is not measured with it.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_profiling::{ProfiledAllocator, Profiler, Standalone};

use crate::work::thread_seconds;

/// Some 50 ms.
const PAIRS: usize = 1 << 24;
const ROUNDS: usize = 9;
const SIZE: usize = 64;

/// Hands out places of a static block in turn, and takes nothing back.
struct Nothing;

static PROFILED: ProfiledAllocator<Nothing> = ProfiledAllocator::new(Nothing);

/// So large that no address comes twice.
const SPAN: usize = 1 << 40;

// SAFETY: not an allocator. Nobody reads or writes where its pointers lead to.
unsafe impl GlobalAlloc for Nothing {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        use std::cell::Cell;
        thread_local! {
            static NEXT: Cell<usize> = const { Cell::new(0) };
        }
        let next = NEXT.get();
        NEXT.set((next + layout.size()) % SPAN);
        std::ptr::without_provenance_mut(SPAN + next)
    }

    #[inline]
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// What the profiled allocator takes more for a pair than the other one, in nanoseconds of CPU time: the median of rounds in which
/// both take turns.
fn added() -> f64 {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| pair(&PROFILED) - pair(&Nothing))
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn pair(allocator: &impl GlobalAlloc) -> f64 {
    let layout = Layout::from_size_align(SIZE, 16).unwrap();
    let start = thread_seconds();
    for _ in 0..PAIRS {
        // SAFETY: the layout has a size, and each pointer goes back once with its layout.
        unsafe {
            let pointer = black_box(allocator.alloc(black_box(layout)));
            allocator.dealloc(pointer, layout);
        }
    }
    (thread_seconds() - start) * 1e9 / PAIRS as f64
}

fn start(agent: &LocalAgent, heap: bool) -> Standalone<Profiler> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .profiling_heap_enabled(heap)
        .build();
    let profiler = Profiler::start(&config.unwrap()).unwrap();
    profiler.start_sampling();
    profiler.flush(Duration::from_secs(20));
    assert!(profiler.is_sampling());
    profiler
}

/// As many sampled allocations as 512 MiB in use have.
fn hold() -> Vec<*mut u8> {
    let layout = Layout::from_size_align(4096, 16).unwrap();
    // SAFETY: the layout has a size.
    (0..(512 << 20) / 4096)
        .map(|_| unsafe { PROFILED.alloc(layout) })
        .collect()
}

/// The nanoseconds that a pair takes more while allocations are recorded, and while memory in use is, too, 512 MiB of it.
pub(crate) fn added_nanos() -> [f64; 2] {
    let agent = LocalAgent::start().unwrap();
    let profiler = start(&agent, false);
    let on = added();
    drop(profiler);
    let profiler = start(&agent, true);
    let held = hold();
    let in_use = added();
    black_box(held);
    drop(profiler);
    [on, in_use]
}
