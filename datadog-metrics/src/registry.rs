//! All contexts of a client.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use datadog_transport::{Account, Birthplace, DropReason};
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;

use crate::context::{Context, Home, Kind};
use crate::encode;
use crate::rate::Rate;
use crate::samples::Budget;

/// How much a client keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Contexts, at most.
    pub(crate) contexts: usize,
    /// Bytes of their names and tags, at most.
    pub(crate) bytes: usize,
    /// Samples of all contexts together, at most: 8 bytes each. Set members share them.
    pub(crate) samples: isize,
    /// A context without values for that long is forgotten.
    pub(crate) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            contexts: 20_000,
            bytes: 16 << 20,
            samples: 1 << 20,
            // As long as the agent keeps a count alive (datadog-agent: `dogstatsd_expiry_seconds`).
            idle: Duration::from_secs(300),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Registry {
    limits: Limits,
    home: Home,
    hasher: DefaultHashBuilder,
    inner: Mutex<Inner>,
    evictions: AtomicU64,
    overflow: Arc<Context>,
    invalid: Arc<Context>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Each with its hash, so that the table grows without a look at what is in it.
    live: HashTable<(u64, Arc<Context>)>,
    /// The names and tags of the live ones.
    bytes: usize,
    /// Evicted, but a thread or a handle may still write to them. No limit of the registry holds them, because a thread that
    /// sleeps for hours would keep others from their contexts; each thread remembers a limited number, and a handle is
    /// the program's.
    retired: Vec<Arc<Context>>,
}

impl Registry {
    pub(crate) fn new(limits: Limits, account: Arc<Account>) -> Self {
        let home = Home {
            account,
            budget: Budget::new(limits.samples),
            birthplace: Birthplace::here(),
        };
        let discard = |reason| Arc::new(Context::discarding(reason, &home));
        Self {
            overflow: discard(DropReason::Cardinality),
            invalid: discard(DropReason::Invalid),
            limits,
            home,
            hasher: DefaultHashBuilder::default(),
            inner: Mutex::default(),
            evictions: AtomicU64::new(0),
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The context of this kind and rate whose line starts with `head` and ends with `tail`.
    pub(crate) fn context(&self, kind: Kind, rate: Rate, head: &str, tail: &str) -> Arc<Context> {
        if !self.home.is_here() {
            return Arc::new(Context::discarding(DropReason::Forked, &self.home));
        }
        if head == encode::NO_NAME {
            return Arc::clone(&self.invalid);
        }
        let hash = self.hash(kind, rate, head, tail);
        let mut inner = self.inner.lock();
        let is_it = |(known, context): &(u64, Arc<Context>)| {
            *known == hash
                && context.kind == kind
                && context.rate.key() == rate.key()
                && *context.head == *head
                && *context.tail == *tail
        };
        if let Some((_, context)) = inner.live.find(hash, is_it) {
            return Arc::clone(context);
        }
        let bytes = inner.bytes + head.len() + tail.len();
        if inner.live.len() >= self.limits.contexts || bytes > self.limits.bytes {
            return Arc::clone(&self.overflow);
        }
        inner.bytes = bytes;
        let context = Arc::new(Context::new(kind, rate, head, tail, &self.home));
        let entry = (hash, Arc::clone(&context));
        inner.live.insert_unique(hash, entry, |(hash, _)| *hash);
        context
    }

    /// Takes values that are not numbers.
    pub(crate) fn invalid(&self) -> &Context {
        &self.invalid
    }

    /// Every context, those that only count drops included.
    pub(crate) fn all(&self) -> Vec<Arc<Context>> {
        let inner = self.inner.lock();
        let discarding = [&self.overflow, &self.invalid];
        let live = inner.live.iter().map(|(_, context)| context);
        let contexts = live.chain(&inner.retired).chain(discarding);
        contexts.cloned().collect()
    }

    /// Forgets the contexts that were idle for long. To be called when all are counted.
    pub(crate) fn evict(&self) {
        let Some(since) = Instant::now().checked_sub(self.limits.idle) else {
            return;
        };
        let mut inner = self.inner.lock();
        let Inner {
            live,
            bytes,
            retired,
        } = &mut *inner;
        // A retired context that nobody else holds can get no more values, and what it got is counted and sent.
        retired.retain(|context| is_held(context) || !context.is_idle(since));
        let evicted = live.extract_if(|(_, context)| context.is_idle(since));
        let evicted = evicted.map(|(_, context)| context);
        let before = retired.len();
        retired.extend(evicted.inspect(|context| {
            context.retire();
            *bytes -= context.head.len() + context.tail.len();
        }));
        if retired.len() > before {
            // Threads that see this let go of the retired ones, and try again what did not fit.
            self.overflow.release_threads();
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Grows with each eviction.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// For the threads' own tables.
    pub(crate) fn hasher(&self) -> &DefaultHashBuilder {
        &self.hasher
    }

    fn hash(&self, kind: Kind, rate: Rate, head: &str, tail: &str) -> u64 {
        self.hasher.hash_one((kind, rate.key(), head, tail))
    }
}

/// Whether a thread or a handle has it. If not, all they wrote is seen from here on.
fn is_held(context: &Arc<Context>) -> bool {
    let held = Arc::strong_count(context) > 1;
    fence(Ordering::Acquire);
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Value;

    fn registry(contexts: usize) -> Registry {
        let limits = Limits {
            contexts,
            idle: Duration::ZERO,
            ..Limits::default()
        };
        Registry::new(limits, Arc::default())
    }

    fn flush(registry: &Registry) -> u64 {
        let contexts = registry.all();
        let owed = contexts.iter().filter_map(|context| context.take().1);
        owed.map(|owed| owed.items).sum()
    }

    #[test]
    fn an_idle_context_goes_when_nobody_holds_it() {
        let registry = registry(10);
        let context = registry.context(Kind::Count, Rate::ALL, "a:", "\n");
        let cell = context.new_cell();
        context.write(&cell, Value::Count(1));
        registry.evict();
        assert!(!cell.is_retired(), "its value is not sent yet");
        assert_eq!(flush(&registry), 1);
        registry.evict();
        assert!(cell.is_retired());
        assert_eq!(registry.evictions(), 1);
        assert!(context.new_cell().is_retired());

        // A thread that saw the old one a moment ago still writes to it.
        context.write(&cell, Value::Count(1));
        assert!(!Arc::ptr_eq(
            &registry.context(Kind::Count, Rate::ALL, "a:", "\n"),
            &context
        ));
        drop((context, cell));
        registry.evict();
        assert_eq!(flush(&registry), 1);
        registry.evict();
        registry.evict();
        assert_eq!(registry.all().len(), 2, "the ones that only drop");
    }

    #[test]
    fn a_thread_that_sleeps_keeps_no_room() {
        let registry = registry(1);
        let held = registry.context(Kind::Count, Rate::ALL, "a:", "\n");
        let _cell = held.new_cell();
        registry.evict();
        let next = registry.context(Kind::Count, Rate::ALL, "b:", "\n");
        let other = registry.context(Kind::Count, Rate::ALL, "c:", "\n");
        assert!(!Arc::ptr_eq(&next, &registry.overflow));
        assert!(Arc::ptr_eq(&other, &registry.overflow));
    }

    #[test]
    fn names_and_tags_are_limited_in_bytes() {
        let mut registry = registry(10);
        registry.limits.bytes = 8;
        let is_taken = |head| {
            let context = registry.context(Kind::Count, Rate::ALL, head, "\n");
            !Arc::ptr_eq(&context, &registry.overflow)
        };
        assert!(is_taken("abc:"));
        assert!(!is_taken("abcd:"));
        assert!(is_taken("d:"));
        registry.evict();
        assert!(is_taken("abcd:"), "what was evicted makes room");
    }

    #[test]
    fn room_that_comes_back_is_used() {
        let registry = registry(1);
        let first = registry.context(Kind::Count, Rate::ALL, "a:", "\n");
        let too_many = registry.context(Kind::Count, Rate::ALL, "b:", "\n");
        let cell = too_many.new_cell();
        too_many.write(&cell, Value::Count(1));
        drop(first);
        flush(&registry);
        let dropped = registry.home.account.snapshot().dropped;
        assert_eq!(dropped.get(DropReason::Cardinality), 1);

        registry.evict();
        assert!(cell.is_retired(), "threads are to try again");
        registry.evict();
        let again = registry.context(Kind::Count, Rate::ALL, "b:", "\n");
        assert!(!Arc::ptr_eq(&again, &too_many));
        assert!(!again.new_cell().is_retired());
    }
}
