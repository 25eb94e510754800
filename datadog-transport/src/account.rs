//! The counters of each signal.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};

use crate::fork::Birthplace;
use crate::{DropReason, Drops, Health, LastError, SignalHealth, SignalKind};

/// The counters behind [`SignalHealth`]: callers and the worker count into it, anyone may read it.
#[derive(Debug, Default)]
pub struct Account {
    accepted: AtomicU64,
    delivered: AtomicU64,
    queued: AtomicU64,
    pending: AtomicU64,
    drops: DropCounters,
    bytes: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    rare: Mutex<Rare>,
    birthplace: Birthplace,
    refresh: OnceLock<Refresh>,
}

/// The accounts of all signals of a client, for a signal that tells about the others. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    all: Arc<OnceLock<BTreeMap<SignalKind, Arc<Account>>>>,
}

struct Refresh(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}

/// What only the worker writes.
#[derive(Clone, Debug, Default)]
struct Rare {
    refused: BTreeMap<u16, u64>,
    last_error: Option<LastError>,
}

/// Callers count without a lock.
#[derive(Debug, Default)]
struct DropCounters {
    queue_full: AtomicU64,
    too_large: AtomicU64,
    invalid: AtomicU64,
    expired: AtomicU64,
    shutdown: AtomicU64,
    no_receiver: AtomicU64,
    forked: AtomicU64,
    cardinality: AtomicU64,
    sampled: AtomicU64,
    rate_limited: AtomicU64,
    filtered: AtomicU64,
}

impl Account {
    /// Calls `refresh` before each look at the account: for a signal whose callers count elsewhere, because even
    /// one shared counter would cost them too much. Only the first call of this has an effect.
    pub fn refresh_with(&self, refresh: impl Fn() + Send + Sync + 'static) {
        let _ = self.refresh.set(Refresh(Box::new(refresh)));
    }

    /// Counts `items` as taken from a caller.
    pub fn accept(&self, items: u64) {
        self.accepted.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts `items` as acknowledged by a receiver, in a body of `bytes`.
    pub fn deliver(&self, items: u64, bytes: usize) {
        self.delivered.fetch_add(items, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts `items` as given up.
    pub fn drop_items(&self, reason: DropReason, items: u64) {
        match (self.drops.counter(reason), reason) {
            (Some(counter), _) => {
                counter.fetch_add(items, Ordering::Relaxed);
            }
            (None, DropReason::Refused(status)) => {
                if let Some(mut rare) = self.rare() {
                    *rare.refused.entry(status).or_default() += items;
                }
            }
            (None, _) => {}
        }
    }

    /// Counts one request or datagram; `retry` if it was tried before.
    pub fn request(&self, retry: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if retry {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes what went wrong.
    pub fn error(&self, message: impl Into<String>) {
        if let Some(mut rare) = self.rare() {
            rare.last_error = Some(LastError {
                at: SystemTime::now(),
                message: message.into(),
            });
        }
    }

    /// Changes the number of items that wait in a buffer which callers write to.
    pub fn queued(&self, change: i64) {
        self.queued.fetch_add(change as u64, Ordering::Relaxed);
    }

    /// Changes the number of items that wait in encoded payloads.
    pub fn pending(&self, change: i64) {
        self.pending.fetch_add(change as u64, Ordering::Relaxed);
    }

    /// The account as it stands.
    pub fn snapshot(&self) -> SignalHealth {
        if let Some(Refresh(refresh)) = self.refresh.get() {
            refresh();
        }
        let buffered = self
            .queued
            .load(Ordering::Relaxed)
            .wrapping_add(self.pending.load(Ordering::Relaxed));
        let Rare {
            refused,
            last_error,
        } = self.rare().map_or_else(Rare::default, |rare| rare.clone());
        SignalHealth {
            accepted: self.accepted.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            buffered: (buffered as i64).max(0) as u64,
            dropped: self.drops.snapshot(refused),
            bytes: self.bytes.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            last_error,
        }
    }

    /// `None` in a forked child for what another thread of the parent was using just then.
    fn rare(&self) -> Option<MutexGuard<'_, Rare>> {
        if self.birthplace.is_here() {
            Some(self.rare.lock())
        } else {
            self.rare.try_lock()
        }
    }
}

impl Accounts {
    /// The account of one signal as it stands; `None` where the client does not have it, or has not started yet.
    pub fn signal(&self, kind: SignalKind) -> Option<SignalHealth> {
        Some(self.all.get()?.get(&kind)?.snapshot())
    }

    /// The accounts of all signals.
    pub(crate) fn health(&self) -> Health {
        let all = self.all.get().into_iter().flatten();
        Health::new(all.map(|(kind, account)| (*kind, account.snapshot())))
    }

    /// Tells which accounts there are. Once only.
    pub(crate) fn set(&self, accounts: BTreeMap<SignalKind, Arc<Account>>) {
        let _ = self.all.set(accounts);
    }
}

impl DropCounters {
    /// The counter of a reason; `None` for refusals, which have one for each status.
    fn counter(&self, reason: DropReason) -> Option<&AtomicU64> {
        match reason {
            DropReason::QueueFull => Some(&self.queue_full),
            DropReason::TooLarge => Some(&self.too_large),
            DropReason::Invalid => Some(&self.invalid),
            DropReason::Expired => Some(&self.expired),
            DropReason::Shutdown => Some(&self.shutdown),
            DropReason::NoReceiver => Some(&self.no_receiver),
            DropReason::Forked => Some(&self.forked),
            DropReason::Cardinality => Some(&self.cardinality),
            DropReason::Sampled => Some(&self.sampled),
            DropReason::RateLimited => Some(&self.rate_limited),
            DropReason::Filtered => Some(&self.filtered),
            DropReason::Refused(_) => None,
        }
    }

    fn snapshot(&self, refused: BTreeMap<u16, u64>) -> Drops {
        use DropReason::{
            Cardinality, Expired, Filtered, Forked, Invalid, NoReceiver, QueueFull, RateLimited,
            Sampled, Shutdown, TooLarge,
        };
        let reasons = [
            QueueFull,
            TooLarge,
            Invalid,
            Expired,
            Shutdown,
            NoReceiver,
            Forked,
            Cardinality,
            Sampled,
            RateLimited,
            Filtered,
        ];
        let counted = reasons
            .into_iter()
            .filter_map(|reason| Some((reason, self.counter(reason)?.load(Ordering::Relaxed))));
        let refused = refused
            .into_iter()
            .map(|(status, count)| (DropReason::Refused(status), count));
        let by_reason = counted
            .chain(refused)
            .filter(|(_, count)| *count > 0)
            .collect();
        Drops::new(by_reason)
    }
}
