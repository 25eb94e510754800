//! The bytes that this thread allocates until its next sample.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MEAN_BYTES;

/// How many bytes a thread allocates before it looks again whether it is to be sampled.
const REST_BYTES: i64 = 1 << 20;

struct Local {
    /// Below 0 when something is due. At first 0, so that the first allocation sets it up.
    left: Cell<i64>,
    /// Whether `left` counts to a sample, and not to the end of a rest.
    armed: Cell<bool>,
    /// The state of the random numbers; 0 before the first.
    random: Cell<u64>,
}

// Constant and without a destructor: it is there from a thread's first instruction to its last, and never
// allocates.
thread_local! {
    static LOCAL: Local = const {
        Local {
            left: Cell::new(0),
            armed: Cell::new(false),
            random: Cell::new(0),
        }
    };
}

/// Counts an allocation. Whether it needs [`begin`].
#[inline(always)]
pub(super) fn count(size: usize) -> bool {
    LOCAL.with(|local| {
        let left = local.left.get().wrapping_sub(size as i64);
        local.left.set(left);
        left < 0
    })
}

/// What [`begin`] finds. While it exists, this thread takes no sample, however much it allocates.
pub(super) struct Due {
    /// Whether the allocation that was counted last is to be sampled.
    pub(super) sample: bool,
    next: i64,
}

/// Looks at what is due after an allocation of this size. `recording` says whether samples are wanted.
pub(super) fn begin(size: usize, recording: bool) -> Due {
    LOCAL.with(|local| {
        local.left.set(i64::MAX);
        let was_armed = local.armed.replace(recording);
        if !recording {
            return Due {
                sample: false,
                next: REST_BYTES,
            };
        }
        let first = draw(local);
        // Without a countdown so far, it starts before this very allocation.
        let left = first.saturating_sub_unsigned(size as u64);
        if was_armed || left < 0 {
            let next = if was_armed { first } else { draw(local) };
            return Due { sample: true, next };
        }
        Due {
            sample: false,
            next: left,
        }
    })
}

impl Drop for Due {
    fn drop(&mut self) {
        LOCAL.with(|local| local.left.set(self.next));
    }
}

/// The bytes to the next sample: those between the events of a Poisson process.
fn draw(local: &Local) -> i64 {
    // The highest 53 bits, as a number above 0 and up to 1.
    let uniform = ((next_random(local) >> 11) + 1) as f64 / (1u64 << 53) as f64;
    (-uniform.ln() * MEAN_BYTES as f64) as i64
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn next_random(local: &Local) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    static THREADS: AtomicU64 = AtomicU64::new(1);
    let mut state = local.random.get();
    if state == 0 {
        // The address differs between processes, the number between threads.
        let address = std::ptr::from_ref(local).addr() as u64;
        state = mix(address ^ THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP)) | 1;
    }
    let state = state.wrapping_add(STEP);
    local.random.set(state);
    mix(state)
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::Weight;

    /// What is estimated and what is true of `count` allocations of `size` bytes on a thread of their own.
    fn estimate(size: usize, allocations: u64) -> (f64, f64) {
        let allocate = move || {
            let mut found = 0.0;
            for _ in 0..allocations {
                if count(size) && begin(size, true).sample {
                    found += Weight::of(size).bytes;
                }
            }
            found
        };
        let found = std::thread::spawn(allocate).join().unwrap();
        (found, (size as u64 * allocations) as f64)
    }

    #[test]
    fn estimates_are_right_for_every_size() {
        // 1000 samples or more: a standard deviation of 3 % or less.
        let (bytes, tolerance) = if cfg!(miri) {
            (1 << 24, 1.0)
        } else {
            (600 << 20, 0.16)
        };
        for size in [16, 1000, 100_000, 1 << 19, 1 << 22] {
            if cfg!(miri) && size < 100_000 {
                continue;
            }
            let (found, truth) = estimate(size, bytes / size as u64 + 1000);
            assert!(
                (found / truth - 1.0).abs() < tolerance,
                "{size}: {found} of {truth}"
            );
        }
    }

    #[test]
    fn threads_too_short_for_a_sample_of_their_own_are_estimated_too() {
        let (mut found, mut truth) = (0.0, 0.0);
        let (threads, tolerance) = if cfg!(miri) { (20, 5.0) } else { (2000, 0.25) };
        for _ in 0..threads {
            let (one, all) = estimate(100_000, 2);
            found += one;
            truth += all;
        }
        assert!(
            (found / truth - 1.0).abs() < tolerance,
            "{found} of {truth}"
        );
    }

    #[test]
    fn nothing_is_due_while_something_is_due_or_not_wanted() {
        let quiet = || {
            assert!(count(1), "the first looks whether samples are wanted");
            let due = begin(1, false);
            assert!(!due.sample);
            assert!(!count(usize::MAX >> 2));
            drop(due);
            assert!(!count(REST_BYTES as usize));
            assert!(count(1));
        };
        std::thread::spawn(quiet).join().unwrap();
    }
}
