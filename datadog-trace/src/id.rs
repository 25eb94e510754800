//! Ids of traces and spans.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use datadog_transport::Birthplace;
use fastrand::Rng;

use crate::local;

/// Where a thread has its ids from. Our own generator: a program that seeds `fastrand`'s must not make ids repeat.
pub(crate) struct Ids(Option<Seeded>);

struct Seeded {
    /// The process that seeded it: a forked one would repeat its parent's ids.
    birthplace: Birthplace,
    random: Rng,
}

/// A random 64-bit span id, never 0.
pub(crate) fn span_id() -> u64 {
    local::span_id().unwrap_or_else(|| Ids::none().next())
}

/// A 128-bit trace id: 32 bits of Unix seconds, 32 zero bits, 64 random bits. Datadog's own layout, by which the
/// low half serves tracers that know 64 bits only.
pub(crate) fn trace_id() -> u128 {
    u128::from(unix_seconds()) << 96 | u128::from(narrow_trace_id())
}

/// A random 64-bit trace id, never 0.
pub(crate) fn narrow_trace_id() -> u64 {
    span_id()
}

impl Ids {
    /// Those of a thread that had none yet.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// A random 64-bit id, never 0.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        if let Some(seeded) = &mut self.0
            && seeded.birthplace.is_here()
        {
            let id = seeded.random.u64(..);
            if id != 0 {
                return id;
            }
        }
        self.seed()
    }

    #[cold]
    #[inline(never)]
    fn seed(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = (
            process::id(),
            now.unwrap_or_default(),
            thread::current().id(),
        );
        let mut random = Rng::with_seed(RandomState::new().hash_one(seed));
        let id = random.u64(1..);
        self.0 = Some(Seeded {
            birthplace: Birthplace::here(),
            random,
        });
        id
    }
}

fn unix_seconds() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs() as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_trace_id_holds_the_time_zeros_and_randomness() {
        let id = trace_id();
        assert!(unix_seconds().abs_diff((id >> 96) as u32) < 5);
        assert_eq!((id >> 64) as u32, 0);
        assert_ne!(id as u64, 0);
        assert_ne!(trace_id() as u64, id as u64);
    }

    #[test]
    fn ids_differ_between_threads() {
        let make = || (0..1000).map(|_| span_id()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..8).map(|_| thread::spawn(make)).collect();
        let ids = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        assert_eq!(ids.collect::<HashSet<_>>().len(), 8000);
    }

    #[test]
    fn a_program_that_seeds_the_shared_generator_does_not_make_ids_repeat() {
        fastrand::seed(7);
        let id = span_id();
        fastrand::seed(7);
        assert_ne!(span_id(), id);
    }
}
