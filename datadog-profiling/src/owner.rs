//! Who records what there is only one of in a process, and where it is kept.

use std::process;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// The process in which somebody records, by its id. A forked child has another id, and so does not record what its
/// parent wanted.
#[derive(Debug)]
pub(crate) struct Owner(AtomicU32);

/// Added to the id of a process in which the owner does not record yet. Linux's ids end at 2²², those of others at 2³¹.
const BEGINS: u32 = 1 << 31;

impl Owner {
    /// Nobody.
    pub(crate) const fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether nobody of this process was the owner before. The caller is now.
    pub(crate) fn take(&self) -> bool {
        self.take_if(|| true)
    }

    /// As [`Self::take`], if this succeeds: nobody may record until then, and nobody else be the owner.
    pub(crate) fn take_if(&self, begin: impl FnOnce() -> bool) -> bool {
        let own = process::id();
        let owner = self.0.load(Ordering::Relaxed);
        let begins = || {
            self.0
                .compare_exchange(owner, own | BEGINS, Ordering::Acquire, Ordering::Relaxed)
        };
        if owner & !BEGINS == own || begins().is_err() {
            return false;
        }
        let begun = begin();
        self.0.store(if begun { own } else { 0 }, Ordering::Release);
        begun
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
        let owner = self.0.load(Ordering::Acquire);
        owner != 0 && owner == process::id()
    }
}

/// How many forks in a row may each leave a lock taken.
const LOCKS: usize = 8;

/// A writer has the lock for microseconds, but for ever in a forked child that it is not part of.
const FOR_EVER: Duration = Duration::from_secs(1);

/// What is recorded, until it is taken out.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    /// One of them is used. A process that was forked while another thread had it uses the next one.
    all: [Mutex<Option<T>>; LOCKS],
    used: AtomicUsize,
}

impl<T: Default> Kept<T> {
    pub(crate) const fn new() -> Self {
        Self {
            all: [const { Mutex::new(None) }; LOCKS],
            used: AtomicUsize::new(0),
        }
    }

    /// Begins anew, without what a parent process recorded. To be called before anything is recorded in this process. False
    /// where it can't.
    pub(crate) fn begin(&self) -> bool {
        let limit = Instant::now() + FOR_EVER;
        let used = self.used.load(Ordering::Relaxed);
        for (index, lock) in self.all.iter().enumerate().skip(used) {
            loop {
                if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
                    self.used.store(index, Ordering::Relaxed);
                    self.take();
                    return true;
                }
                if Instant::now() >= limit {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
        false
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(self.lock().get_or_insert_default())
    }

    pub(crate) fn take(&self) -> T {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        let lock = &self.all[self.used.load(Ordering::Relaxed)];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn nobody_else_begins_while_the_owner_does() {
        let owner = Owner::none();
        assert!(!owner.take_if(|| false));
        let taken = owner.take_if(|| {
            assert!(!owner.is_here());
            !owner.take_if(|| panic!("it would end what the owner begins"))
        });
        assert!(taken && owner.is_here());
        assert!(!owner.take_if(|| panic!("there is one")));
        // A child that was forked just then.
        owner
            .0
            .store((process::id() + 1) | BEGINS, Ordering::Relaxed);
        assert!(owner.take());
    }

    #[test]
    fn a_lock_that_a_fork_left_taken_is_left_alone() {
        let kept = Kept::<Vec<u32>>::new();
        kept.with(|all| all.push(1));
        // As a thread that is not part of the child.
        let _of_the_parent = kept.all[0].lock();
        assert!(kept.begin());
        kept.with(|all| all.push(2));
        assert_eq!((kept.take(), kept.take()), (vec![2], vec![]));
        kept.with(|all| all.push(3));
        assert!(kept.begin());
        assert!(kept.take().is_empty());
        let _all: Vec<_> = kept.all[1..].iter().map(Mutex::lock).collect();
        assert!(!kept.begin());
    }
}
