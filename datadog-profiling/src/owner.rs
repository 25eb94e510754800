//! Who records what there is only one of in a process.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// The process in which somebody records, by its id. A forked child has another id, and so does not record what its
/// parent wanted.
#[derive(Debug)]
pub(crate) struct Owner(AtomicU32);

impl Owner {
    /// Nobody.
    pub(crate) const fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether nobody of this process was the owner before. The caller is now.
    pub(crate) fn take(&self) -> bool {
        let own = process::id();
        self.0.swap(own, Ordering::Relaxed) != own
    }

    /// To be called by the owner.
    pub(crate) fn release(&self) {
        let own = process::id();
        let _ = self
            .0
            .compare_exchange(own, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether somebody of this process is the owner.
    pub(crate) fn is_here(&self) -> bool {
        let owner = self.0.load(Ordering::Relaxed);
        owner != 0 && owner == process::id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_not_one_of_another_process() {
        let owner = Owner::none();
        assert!(!owner.is_here());
        assert!(owner.take());
        assert!(!owner.take());
        assert!(owner.is_here());
        owner.release();
        assert!(!owner.is_here());
        owner.0.store(process::id() + 1, Ordering::Relaxed);
        assert!(!owner.is_here());
        assert!(owner.take());
    }
}
