//! The allocator that a program installs.

#![expect(unsafe_code, reason = "a global allocator can't be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};

use super::{countdown, recorder};

/// A global allocator that lets another one do the work, and takes samples for the profiler: which code allocates
/// (`alloc-samples`, `alloc-space`), and which code holds what is not freed yet (`inuse-objects`, `inuse-space`).
///
/// ```
/// use datadog_profiling::ProfiledAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: ProfiledAllocator = ProfiledAllocator::system();
/// # fn main() {}
/// ```
///
/// [`ProfiledAllocator::new`] wraps any other allocator, such as that of the crate `mimalloc`.
///
/// Samples are taken while a [`Profiler`](crate::Profiler) runs whose config leaves
/// [`profiling_allocation_enabled`](datadog_config::DDConfig::profiling_allocation_enabled) on, about one for each 512 KiB
/// that a thread allocates; [`profiling_heap_enabled`](datadog_config::DDConfig::profiling_heap_enabled) says whether
/// memory in use is followed too. What was allocated before the profiler started is not known to it. A reallocation
/// counts as an allocation of the new size and the freeing of the old one.
///
/// Memory that doesn't come from this allocator, such as that of C libraries, is not seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProfiledAllocator<A = System> {
    inner: A,
}

impl ProfiledAllocator {
    /// One that lets the operating system's allocator do the work.
    pub const fn system() -> Self {
        Self::new(System)
    }
}

impl<A> ProfiledAllocator<A> {
    /// One that lets `inner` do the work.
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: every call goes to `inner` with the arguments of the caller, who keeps its part of the contract, and its answer
// is returned unchanged. What is done besides doesn't touch the memory, only looks at addresses as numbers, and
// doesn't unwind. It may allocate, which ends up here again, with no sample taken the second time.
unsafe impl<A: GlobalAlloc> GlobalAlloc for ProfiledAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let pointer = unsafe { self.inner.alloc(layout) };
        allocated(pointer, layout.size());
        pointer
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let pointer = unsafe { self.inner.alloc_zeroed(layout) };
        allocated(pointer, layout.size());
        pointer
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Before, because after it another thread may get the same address.
        forget(pointer);
        // SAFETY: the caller's promise.
        unsafe { self.inner.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Where there is no memory the old one stays, and is no longer followed. That is rare.
        forget(pointer);
        // SAFETY: the caller's promise.
        let moved = unsafe { self.inner.realloc(pointer, layout, new_size) };
        allocated(moved, new_size);
        moved
    }
}

#[inline(always)]
fn allocated(pointer: *mut u8, size: usize) {
    if countdown::count(size) && !pointer.is_null() {
        recorder::due(pointer.addr(), size);
    }
}

#[inline(always)]
fn forget(pointer: *mut u8) {
    if recorder::is_followed(pointer.addr()) {
        recorder::freed(pointer.addr());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::allocation::{Recording, allocation_figures};

    /// Counts what is in use, and has no memory for what is larger than 64 MiB.
    struct Counting(AtomicUsize);

    // SAFETY: all of it is the system's allocator, which may refuse.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.size() > 64 << 20 {
                return std::ptr::null_mut();
            }
            self.0.fetch_add(layout.size(), Ordering::Relaxed);
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            self.0.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    const ROUNDS: usize = if cfg!(miri) { 40 } else { 100 };

    /// Allocates, writes, grows, shrinks and frees.
    fn use_it(allocator: &impl GlobalAlloc) {
        let layout = |size| Layout::from_size_align(size, 16).unwrap();
        for round in 1..ROUNDS {
            let size = round * 150_000 / ROUNDS;
            // SAFETY: no size is 0; each block is used within its size, and freed once with the layout it has by then.
            unsafe {
                let plain = allocator.alloc(layout(size));
                plain.write_bytes(7, size);
                let zeroed = allocator.alloc_zeroed(layout(size));
                assert_eq!(zeroed.add(size - 1).read(), 0);
                let grown = allocator.realloc(plain, layout(size), size * 4);
                assert_eq!(grown.add(size - 1).read(), 7);
                assert!(
                    allocator
                        .realloc(grown, layout(size * 4), 65 << 20)
                        .is_null()
                );
                assert_eq!(grown.add(size - 1).read(), 7, "it stays");
                let shrunk = allocator.realloc(grown, layout(size * 4), size / 2);
                assert_eq!(shrunk.add(size / 2 - 1).read(), 7);
                allocator.dealloc(shrunk, layout(size / 2));
                allocator.dealloc(zeroed, layout(size));
            }
        }
    }

    #[test]
    fn the_inner_allocator_does_the_work() {
        static ALLOCATOR: ProfiledAllocator<Counting> =
            ProfiledAllocator::new(Counting(AtomicUsize::new(0)));
        use_it(&ALLOCATOR);
        assert_eq!(allocation_figures().samples, 0);
        let recording = Recording::start(true).unwrap().expect("it was used");
        assert!(Recording::start(true).is_err(), "one at a time");
        use_it(&ALLOCATOR);
        let figures = allocation_figures();
        // Among several threads one may keep the others from the place of their common stack.
        assert_eq!(figures.samples_dropped, 0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| use_it(&ALLOCATOR));
            }
        });
        let figures = allocation_figures();
        assert!(figures.samples > 2, "{figures:?}");
        assert_eq!((figures.in_use_objects, figures.in_use_bytes), (0, 0));
        assert_eq!(figures.samples_not_followed, 0);
        assert_eq!(ALLOCATOR.inner.0.load(Ordering::Relaxed), 0);
        let mut bytes = 0;
        recording.drain(&mut |stack, span, sums| {
            assert_eq!(span, None);
            assert_ne!(stack.len(), 0);
            let in_use = (sums.in_use_objects, sums.in_use_bytes);
            assert_eq!(in_use, (0, 0), "all was freed");
            bytes += sums.allocated_bytes;
        });
        let error = bytes.abs_diff(figures.allocated_bytes);
        assert!(error < figures.samples, "{bytes} {figures:?}");
        drop(recording);
        assert!(Recording::start(false).is_ok_and(|started| started.is_some()));
    }
}
