//! Locks that a forked child does not wait for.

use datadog_transport::Birthplace;
use parking_lot::{Mutex, MutexGuard};

/// A mutex that knows its process.
#[derive(Debug, Default)]
pub(super) struct Lock<T> {
    mutex: Mutex<T>,
    birthplace: Birthplace,
}

impl<T> Lock<T> {
    /// What it holds. `None` in a forked child, if another thread of the parent had it: nobody gives it back there.
    #[inline]
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.birthplace.is_here() {
            true => Some(self.mutex.lock()),
            false => self.mutex.try_lock(),
        }
    }
}
