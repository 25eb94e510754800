//! What the allocator of profiles adds to an allocation and its freeing: `cargo bench -p datadog-profiling --bench
//! allocations`. The wrapped allocator does nothing, so that its cost is not measured with it.

#![allow(
    unsafe_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an allocator is called as the compiler calls it; a bench prints"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::time::{Duration, Instant};

use datadog_local_agent::LocalAgent;
use datadog_profiling::{DDConfig, ProfiledAllocator, Profiler, Standalone};

const PAIRS: usize = 1 << 20;
const ROUNDS: usize = 15;
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

/// Nanoseconds of a pair: the median of the rounds.
fn measure(allocator: &impl GlobalAlloc) -> f64 {
    let layout = Layout::from_size_align(SIZE, 16).unwrap();
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..PAIRS {
                // SAFETY: the layout has a size, and each pointer goes back once with its layout.
                unsafe {
                    let pointer = black_box(allocator.alloc(black_box(layout)));
                    allocator.dealloc(pointer, layout);
                }
            }
            start.elapsed().as_secs_f64() * 1e9 / PAIRS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
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

fn main() {
    let agent = LocalAgent::start().unwrap();
    let row = |what: &str, nanos: f64| println!("{what:<44} {nanos:6.2} ns a pair");
    row("without", measure(&Nothing));
    row("off", measure(&PROFILED));
    let profiler = start(&agent, false);
    row("on, allocations", measure(&PROFILED));
    drop(profiler);
    let profiler = start(&agent, true);
    row("on, allocations and memory in use", measure(&PROFILED));
    let held = hold();
    row("the same with 512 MiB in use", measure(&PROFILED));
    drop(profiler);
    row("off again, 512 MiB still followed", measure(&PROFILED));
    black_box(held);
    println!("{:?}", datadog_profiling::allocation_figures());
}
