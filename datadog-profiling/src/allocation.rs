//! Which code allocates, and which code holds what it allocated.
//!
//! A thread takes a sample each time that it has allocated a random number of bytes, [`MEAN_BYTES`] on average. A
//! sample stands for as many allocations of its size as it is seldom, so the sums are right on average, whatever
//! the sizes are. Between two samples an allocation costs a subtraction on a thread-local.
//!
//! What a sampled thread touches is made of static tables and atomics: nothing has to be set up, nothing is torn
//! down with a thread, and there is no lock that a thread waits for.

mod allocator;
mod countdown;
mod live;
mod recorder;
mod stacks;

pub use allocator::ProfiledAllocator;
pub(crate) use recorder::Recording;
pub use recorder::{AllocationFigures, allocation_figures};

use crate::counted::Values;

/// The bytes between two samples of a thread, on average. At 1 GB/s that is 2,000 samples a second.
pub(crate) const MEAN_BYTES: u64 = 512 << 10;

/// What a sample stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Weight {
    /// Allocations.
    objects: f64,
    bytes: f64,
}

impl Weight {
    /// That of a sampled allocation of this size: one in so many is sampled.
    fn of(size: usize) -> Self {
        let size = size.max(1) as f64;
        let chance = -(-size / MEAN_BYTES as f64).exp_m1();
        Self {
            objects: 1.0 / chance,
            bytes: size / chance,
        }
    }

    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }

    /// As allocations of a profile.
    fn values(self) -> Values {
        Values {
            allocated_objects: self.objects.round() as u64,
            allocated_bytes: self.bytes.round() as u64,
            ..Values::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_allocation_stands_for_the_mean_and_a_large_one_for_itself() {
        let small = Weight::of(16);
        assert!((small.bytes - MEAN_BYTES as f64).abs() < 16.0, "{small:?}");
        assert!((small.objects - 32_768.5).abs() < 1.0, "{small:?}");
        let large = Weight::of(64 << 20);
        assert!((large.objects - 1.0).abs() < 1e-9, "{large:?}");
        assert!(Weight::of(0).objects.is_finite());
    }
}
