//! Memory that is going to be used, fetched before.

/// A line of the cache.
const LINE: usize = 64;

/// The most bytes that are fetched at once: more would push out of the cache what was fetched first.
const MOST: usize = 4096;

/// Fetches so many bytes behind the items, for writing, while the program goes on. They may belong to nobody.
#[inline(always)]
pub(crate) fn behind<T>(items: &[T], bytes: usize) {
    let end = items.as_ptr_range().end.cast::<u8>();
    for at in (0..bytes).step_by(LINE) {
        fetch_for_writing(end.wrapping_add(at));
    }
}

/// Fetches the items, for reading: all at once, where to read one after the other would wait for each.
#[inline]
pub(crate) fn all<T>(items: &[T]) {
    let start = items.as_ptr().cast::<u8>();
    for at in (0..size_of_val(items).min(MOST)).step_by(LINE) {
        fetch_for_reading(start.wrapping_add(at));
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn fetch_for_writing(address: *const u8) {
    // SAFETY: it is a hint, which changes nothing and does not fail, whatever the address.
    #[expect(
        unsafe_code,
        reason = "spans would wait for memory that another processor has: a tenth of their time"
    )]
    unsafe {
        // The compiler's own function for it fetches for reading only.
        core::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn fetch_for_reading(address: *const u8) {
    // SAFETY: it is a hint, which changes nothing and does not fail, whatever the address.
    #[expect(
        unsafe_code,
        reason = "the worker would wait for memory that another processor has: a tenth of its time"
    )]
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn fetch_for_writing(_: *const u8) {}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn fetch_for_reading(_: *const u8) {}
