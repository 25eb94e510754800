//! Locks that tell the profile how long threads wait for them.

use std::fmt;

use parking_lot as inner;
pub use parking_lot::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

use crate::lock_waits::waiting;

/// [`parking_lot::Mutex`], whose waits are in the profile: as `lock-acquire` and `lock-acquire-wait` of the code that
/// waited. A lock that is free costs what it costs there.
///
/// ```
/// use datadog_profiling::Mutex;
///
/// static VISITS: Mutex<u64> = Mutex::new(0);
/// *VISITS.lock() += 1;
/// # assert_eq!(*VISITS.lock(), 1);
/// ```
#[derive(Default)]
pub struct Mutex<T: ?Sized>(inner::Mutex<T>);

/// [`parking_lot::RwLock`], whose waits are in the profile as those of [`Mutex`].
#[derive(Default)]
pub struct RwLock<T: ?Sized>(inner::RwLock<T>);

impl<T> Mutex<T> {
    /// A lock that is free.
    pub const fn new(value: T) -> Self {
        Self(inner::Mutex::new(value))
    }

    /// What it protected.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the lock is free, and takes it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => waiting(|| self.0.lock()),
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    /// What it protects, without locking: nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T> RwLock<T> {
    /// A lock that is free.
    pub const fn new(value: T) -> Self {
        Self(inner::RwLock::new(value))
    }

    /// What it protected.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, and takes the lock together with other readers.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        match self.0.try_read() {
            Some(guard) => guard,
            None => waiting(|| self.0.read()),
        }
    }

    /// Waits until the lock is free, and takes it alone.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        match self.0.try_write() {
            Some(guard) => guard,
            None => waiting(|| self.0.write()),
        }
    }

    /// Takes the lock together with other readers, if nobody writes.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.0.try_read()
    }

    /// Takes the lock alone, if it is free.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.0.try_write()
    }

    /// What it protects, without locking: nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
