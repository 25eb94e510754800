//! A context: one kind, name and set of tags, with everything submitted to it that is not delivered yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use datadog_transport::{Account, Birthplace, DropReason};
use parking_lot::Mutex;

use crate::cell::Cell;
use crate::owed::Owed;
use crate::rate::Rate;
use crate::samples::Budget;
use crate::slot::Slot;

/// The longest member of a set: with name and tags it has to fit into a datagram.
const MOST_MEMBER_BYTES: usize = 1000;

/// What a context's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Count,
    Gauge,
    Histogram,
    Distribution,
    Timing,
    Set,
}

/// One submitted value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Count(i64),
    Gauge(f64),
    GaugeChange(f64),
    Sample(f64),
}

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) kind: Kind,
    /// That of the values submitted, as the caller made the choice.
    pub(crate) rate: Rate,
    /// Values of this context are counted as dropped: it stands for contexts that can't be.
    discard: Option<DropReason>,
    /// The line up to the value.
    pub(crate) head: Box<str>,
    /// The line from the tags on, with its newline.
    pub(crate) tail: Box<str>,
    /// The last value of a gauge, as bits. Shared by all threads, because the last one counts.
    last: AtomicU64,
    slot: OnceLock<Slot>,
    home: Home,
    state: Mutex<State>,
}

/// What all contexts of a client have in common.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) account: Arc<Account>,
    pub(crate) budget: Budget,
    pub(crate) birthplace: Birthplace,
}

#[derive(Debug)]
struct State {
    cells: Vec<Counted>,
    /// Values that came without a cell, and are not in the account yet.
    direct: u64,
    /// Values that are no numbers, and are not in the account yet.
    invalid: u64,
    /// Members of a set that there was no room for, and are not in the account yet.
    refused: u64,
    owed: Owed,
    used: Instant,
    retired: bool,
}

/// A thread's cell with what was read of it so far.
#[derive(Debug)]
struct Counted {
    cell: Arc<Cell>,
    hits: u64,
    sum: u64,
}

impl Kind {
    /// The type on the wire (documentation: `content/en/extend/dogstatsd/datagram_shell.md`).
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Count => "c",
            Self::Gauge => "g",
            Self::Histogram => "h",
            Self::Distribution => "d",
            Self::Timing => "ms",
            Self::Set => "s",
        }
    }

    pub(crate) fn has_samples(self) -> bool {
        matches!(self, Self::Histogram | Self::Distribution | Self::Timing)
    }
}

/// What callers do.
impl Context {
    pub(crate) fn new(kind: Kind, rate: Rate, head: &str, tail: &str, home: &Home) -> Self {
        Self {
            kind,
            rate,
            discard: None,
            head: head.into(),
            tail: tail.into(),
            last: AtomicU64::new(0),
            slot: OnceLock::new(),
            home: home.clone(),
            state: Mutex::new(State {
                cells: Vec::new(),
                direct: 0,
                invalid: 0,
                refused: 0,
                owed: Owed::default(),
                used: Instant::now(),
                retired: false,
            }),
        }
    }

    /// A context that drops its values for this reason.
    pub(crate) fn discarding(reason: DropReason, home: &Home) -> Self {
        Self {
            discard: Some(reason),
            ..Self::new(Kind::Count, Rate::ALL, "", "", home)
        }
    }

    /// Makes a cell for the calling thread, which alone may write it.
    pub(crate) fn new_cell(&self) -> Arc<Cell> {
        let cell = Arc::new(Cell::new(self.kind.has_samples()));
        let mut state = self.state.lock();
        if state.retired {
            cell.retire();
        }
        if state.cells.is_empty() {
            // Most contexts are used by one thread.
            state.cells.reserve_exact(1);
        }
        state.cells.push(Counted {
            cell: Arc::clone(&cell),
            hits: 0,
            sum: 0,
        });
        cell
    }

    /// Writes a value to a cell of this context.
    #[inline(always)]
    pub(crate) fn write(&self, cell: &Cell, value: Value) {
        match value {
            Value::Count(value) => match i32::try_from(value) {
                Ok(small) => cell.add(small),
                Err(_) => self.write_direct(Value::Count(value)),
            },
            Value::Gauge(value) => self.set(cell, value),
            Value::GaugeChange(change) => self.change(cell, change),
            Value::Sample(value) => self.sample(cell, value),
        }
    }

    /// Sets a gauge.
    #[inline(always)]
    pub(crate) fn set(&self, cell: &Cell, value: f64) {
        self.set_last(value);
        cell.hit();
    }

    /// Changes a gauge.
    #[inline]
    pub(crate) fn change(&self, cell: &Cell, change: f64) {
        if self.change_last(change) {
            cell.hit();
        } else {
            self.write_invalid();
        }
    }

    /// Adds a sample.
    #[inline(always)]
    pub(crate) fn sample(&self, cell: &Cell, value: f64) {
        if cell.sample(value) {
            self.make_room(cell);
        }
    }

    /// Writes a value without a cell: one that is too large for it, or on a thread that has none, because its
    /// thread-locals are gone, or in use further up the stack.
    #[cold]
    pub(crate) fn write_direct(&self, value: Value) {
        let mut state = self.state.lock();
        match value {
            Value::Count(value) => state.owed.sum = state.owed.sum.saturating_add(value),
            Value::Gauge(value) => self.set_last(value),
            Value::GaugeChange(change) => {
                if !self.change_last(change) {
                    state.invalid += 1;
                    return;
                }
            }
            Value::Sample(value) => state.owed.samples.push(value, &self.home.budget),
        }
        state.direct += 1;
    }

    /// Adds a member to a set.
    pub(crate) fn add_member(&self, member: &str) {
        if !self.home.is_here() {
            return self.home.drop_forked();
        }
        let mut state = self.state.lock();
        if member.is_empty() || member.len() > MOST_MEMBER_BYTES {
            state.invalid += 1;
        } else if state.owed.add_member(member, &self.home.budget) {
            state.direct += 1;
        } else {
            state.refused += 1;
        }
    }

    /// Counts a value that can't be sent as dropped.
    #[cold]
    pub(crate) fn write_invalid(&self) {
        if !self.home.is_here() {
            return self.home.drop_forked();
        }
        self.state.lock().invalid += 1;
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The place of this context in each thread's list of cells.
    pub(crate) fn slot(&self) -> &Slot {
        self.slot.get_or_init(Slot::new)
    }

    #[inline]
    fn set_last(&self, value: f64) {
        self.last.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Returns whether the gauge has a value afterwards that can be sent; if not, it keeps the one it had.
    fn change_last(&self, change: f64) -> bool {
        let update = |bits| {
            let changed = f64::from_bits(bits) + change;
            changed.is_finite().then(|| changed.to_bits())
        };
        self.last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update)
            .is_ok()
    }

    #[cold]
    fn make_room(&self, cell: &Cell) {
        let mut state = self.state.lock();
        cell.fold(cell.hits(), &mut state.owed.samples, &self.home.budget);
    }
}

/// What the worker does, and who asks for the account.
impl Context {
    /// Brings the account up to date, and returns how many values are new. With `closed`, they are dropped.
    pub(crate) fn count(&self, closed: bool) -> u64 {
        self.count_in(&mut self.state.lock(), closed)
    }

    fn count_in(&self, state: &mut State, closed: bool) -> u64 {
        let account = &self.home.account;
        let new = state.collect(&self.home.budget);
        if new > 0 {
            state.used = Instant::now();
        }
        account.accept(new + state.invalid + state.refused);
        account.drop_items(DropReason::Invalid, std::mem::take(&mut state.invalid));
        account.drop_items(DropReason::QueueFull, std::mem::take(&mut state.refused));
        let discard = self
            .discard
            .or_else(|| closed.then_some(DropReason::Shutdown));
        if let Some(reason) = discard {
            let queued = state.owed.take(&self.home.budget).items;
            account.queued(-(queued as i64));
            account.drop_items(reason, queued + new);
        } else {
            account.queued(new as i64);
            state.owed.items += new;
        }
        new
    }

    /// Brings the account up to date, and takes out what is owed, if anything is. Both in one, so that the values
    /// counted are those taken. Returns how many are new, too.
    pub(crate) fn take(&self) -> (u64, Option<Owed>) {
        let mut state = self.state.lock();
        let new = self.count_in(&mut state, false);
        let owed = (state.owed.items > 0).then(|| state.owed.take(&self.home.budget));
        (new, owed)
    }

    /// Takes back what the socket did not take.
    pub(crate) fn give_back(&self, owed: Owed) {
        self.state.lock().owed.take_back(owed, &self.home.budget);
    }

    pub(crate) fn last(&self) -> f64 {
        f64::from_bits(self.last.load(Ordering::Relaxed))
    }

    /// Whether nothing came since `since` and nothing is left to count or to send.
    pub(crate) fn is_idle(&self, since: Instant) -> bool {
        let state = self.state.lock();
        let counted = |counted: &Counted| counted.cell.hits() == counted.hits;
        state.used < since
            && state.direct == 0
            && state.invalid + state.refused == 0
            && state.owed.items == 0
            && state.cells.iter().all(counted)
    }

    /// Tells the threads to look this context up anew, now and whenever they find it. What they wrote meanwhile
    /// still counts.
    pub(crate) fn retire(&self) {
        self.state.lock().retired = true;
        self.release_threads();
    }

    /// Tells the threads to look this context up anew once.
    pub(crate) fn release_threads(&self) {
        let state = self.state.lock();
        state.cells.iter().for_each(|counted| counted.cell.retire());
    }
}

impl Home {
    /// Whether this is not a forked child, where the locks of contexts are as other threads happened to leave them.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.birthplace.is_here()
    }

    /// Counts a value of a forked child, which has no worker.
    #[cold]
    pub(crate) fn drop_forked(&self) {
        self.account.accept(1);
        self.account.drop_items(DropReason::Forked, 1);
    }
}

impl State {
    /// Moves what the threads wrote since the last time into what is owed, and returns how many values that is.
    fn collect(&mut self, budget: &Budget) -> u64 {
        let mut new = std::mem::take(&mut self.direct);
        let owed = &mut self.owed;
        self.cells.retain_mut(|counted| {
            // Asked first: a thread that is gone writes no more.
            let is_alive = Arc::get_mut(&mut counted.cell).is_none();
            let hits = counted.cell.hits();
            let sum = counted.cell.sum();
            counted.cell.fold(hits, &mut owed.samples, budget);
            owed.sum = owed
                .sum
                .saturating_add(sum.wrapping_sub(counted.sum) as i64);
            new += hits - counted.hits;
            counted.hits = hits;
            counted.sum = sum;
            is_alive
        });
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(kind: Kind) -> Context {
        let home = Home {
            account: Arc::default(),
            budget: Budget::new(1000),
            birthplace: Birthplace::here(),
        };
        Context::new(kind, Rate::ALL, "a:", "\n", &home)
    }

    #[test]
    fn what_comes_between_a_count_and_a_flush_is_counted_with_it() {
        let context_of_samples = context(Kind::Distribution);
        let cell = context_of_samples.new_cell();
        context_of_samples.write(&cell, Value::Sample(1.0));
        assert_eq!(context_of_samples.count(false), 1);
        (0..100).for_each(|_| context_of_samples.write(&cell, Value::Sample(1.0)));
        let (new, owed) = context_of_samples.take();
        let owed = owed.unwrap();
        assert_eq!((new, owed.items, owed.samples.seen()), (100, 101, 101));

        let set = context(Kind::Set);
        set.add_member("ann");
        assert_eq!(set.count(false), 1);
        set.add_member("ann");
        set.add_member("bob");
        let (new, owed) = set.take();
        let owed = owed.unwrap();
        assert_eq!((new, owed.items, owed.members["ann"]), (2, 3, 2));
    }

    #[test]
    fn sums_end_at_the_bounds() {
        let counter = context(Kind::Count);
        let cell = counter.new_cell();
        for value in [i64::MAX, 1, i64::MAX, 5] {
            counter.write(&cell, Value::Count(value));
        }
        let (_, owed) = counter.take();
        let owed = owed.unwrap();
        assert_eq!((owed.items, owed.sum), (4, i64::MAX));
        counter.write(&cell, Value::Count(i64::MIN));
        counter.write(&cell, Value::Count(-1));
        assert_eq!(counter.take().1.unwrap().sum, i64::MIN);
        counter.give_back(owed);
        counter.write(&cell, Value::Count(1));
        assert_eq!(counter.take().1.unwrap().sum, i64::MAX);
    }

    #[test]
    fn a_gauge_keeps_its_value_where_a_change_has_none() {
        let gauge = context(Kind::Gauge);
        let cell = gauge.new_cell();
        gauge.write(&cell, Value::Gauge(f64::MAX));
        gauge.write(&cell, Value::GaugeChange(f64::MAX));
        gauge.write_direct(Value::GaugeChange(f64::MAX));
        assert_eq!((gauge.take().0, gauge.last()), (1, f64::MAX));
        let account = gauge.home.account.snapshot();
        assert_eq!(account.dropped.get(DropReason::Invalid), 2);
    }

    #[test]
    fn members_of_sets_are_limited_in_bytes_and_make_room_again() {
        let home = Home {
            budget: Budget::new(1000),
            ..context(Kind::Set).home
        };
        let set = Context::new(Kind::Set, Rate::ALL, "a:", "\n", &home);
        let submit = || {
            for number in 0..100 {
                set.add_member(&format!("{number:>0200}"));
            }
        };
        submit();
        let (taken, owed) = set.take();
        // Each takes 31 of 1000.
        assert_eq!(taken, 33);
        let refused = || home.account.snapshot().dropped.get(DropReason::QueueFull);
        assert_eq!(refused(), 67);
        set.give_back(owed.unwrap());
        submit();
        assert_eq!(set.take().0, 33, "the same ones");
        assert_eq!(refused(), 2 * 67);
        submit();
        assert_eq!(set.take().0, 33);
        assert!(home.budget.has_room());
    }

    #[test]
    fn an_idle_counter_keeps_what_was_given_back() {
        let counter = context(Kind::Count);
        let cell = counter.new_cell();
        counter.write(&cell, Value::Count(5));
        let (_, owed) = counter.take();
        assert!(counter.take().1.is_none());
        counter.give_back(owed.unwrap());
        counter.write(&cell, Value::Count(2));
        let owed = counter.take().1.unwrap();
        assert_eq!((owed.items, owed.sum), (2, 7));
    }
}
