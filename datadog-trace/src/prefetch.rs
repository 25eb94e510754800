//! Memory that is going to be written to, fetched before.

/// A line of the cache.
const LINE: usize = 64;

/// Fetches so many bytes behind the items, for writing, while the program goes on. They may belong to nobody.
#[inline(always)]
pub(crate) fn behind<T>(items: &[T], bytes: usize) {
    let end = items.as_ptr_range().end.cast::<u8>();
    for at in (0..bytes).step_by(LINE) {
        fetch(end.wrapping_add(at));
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn fetch(address: *const u8) {
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

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn fetch(_: *const u8) {}
