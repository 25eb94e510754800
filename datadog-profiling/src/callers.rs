//! The calls that lead to here.

use std::ffi::c_void;

/// The most calls of a stack that is taken by a thread itself, counted from the innermost.
const MOST_CALLS: usize = 128;

/// The return addresses of this thread's calls, the innermost first.
pub(crate) struct Callers {
    addresses: [usize; MOST_CALLS],
    len: usize,
}

impl Callers {
    /// Those of the caller, with some of this crate in front. Neither allocates nor waits for a lock of this process's
    /// Rust code.
    #[inline(never)]
    pub(crate) fn here() -> Self {
        let mut callers = Self {
            addresses: [0; MOST_CALLS],
            len: 0,
        };
        trace(|address| {
            if address.is_null() || callers.len == MOST_CALLS {
                return false;
            }
            callers.addresses[callers.len] = address.addr();
            callers.len += 1;
            true
        });
        callers
    }

    pub(crate) fn as_slice(&self) -> &[usize] {
        &self.addresses[..self.len]
    }
}

/// The synchronized variant waits for the lock that naming functions holds, which can take seconds.
#[cfg(unix)]
fn trace(mut each: impl FnMut(*mut c_void) -> bool) {
    // SAFETY: the lock is there for what isn't thread-safe on Windows, `dbghelp`. On Unix this is
    // `_Unwind_Backtrace`, which may be called by any thread at any time outside of signal handlers.
    #[expect(
        unsafe_code,
        reason = "an allocation must not wait for another thread that names functions"
    )]
    unsafe {
        backtrace::trace_unsynchronized(|frame| each(frame.ip()));
    }
}

#[cfg(not(unix))]
fn trace(mut each: impl FnMut(*mut c_void) -> bool) {
    backtrace::trace(|frame| each(frame.ip()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbol::function_name;

    fn deeper(calls: usize) -> usize {
        if calls == 0 {
            return Callers::here().as_slice().len();
        }
        std::hint::black_box(deeper(std::hint::black_box(calls - 1)))
    }

    #[test]
    #[cfg_attr(
        miri,
        expect(unused_variables, reason = "addresses have no names there")
    )]
    fn finds_the_caller() {
        let callers = Callers::here();
        #[cfg(not(miri))]
        assert!(callers.as_slice().iter().any(|address| {
            function_name(*address).is_some_and(|name| name.ends_with("finds_the_caller"))
        }));
    }

    #[test]
    fn keeps_the_innermost_of_many() {
        assert_eq!(deeper(2 * MOST_CALLS), MOST_CALLS);
    }
}
