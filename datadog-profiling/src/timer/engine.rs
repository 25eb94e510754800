//! What the signal handler works with. It is made once and stays: a late signal may come at any time.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::{process, thread};

use datadog_transport::{context, in_spans, profiled};

use crate::timer::bell::Bell;
use crate::timer::ring::{Ring, Seen};
use crate::timer::signal::{self, Registers, Tick};
use crate::timer::sys;
use crate::timer::unwind::Unwinders;

static ENGINE: OnceLock<Engine> = OnceLock::new();

thread_local! {
    /// The round in which this thread's own timer signalled. It has no destructor, so that a signal handler may use
    /// it at any time of the thread's life.
    static COVERED_IN: Cell<u32> = const { Cell::new(0) };

    /// Whether this thread takes a sample now.
    static BUSY: AtomicBool = const { AtomicBool::new(false) };
}

/// Does something that a signal can't interrupt by the same. False where it would. Nobody but this thread looks, so that only
/// the compiler has to keep the order.
fn one_at_a_time(work: impl FnOnce() -> bool) -> bool {
    BUSY.with(|busy| {
        if busy.load(Ordering::Relaxed) {
            return false;
        }
        busy.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::AcqRel);
        let done = work();
        compiler_fence(Ordering::AcqRel);
        busy.store(false, Ordering::Relaxed);
        done
    })
}

pub(super) struct Engine {
    /// Which start of the sampler the present one is; 0 while there is none.
    round: AtomicU32,
    rounds: AtomicU32,
    /// The process that began it. A forked child inherits all of this, but not the timers.
    process: AtomicU32,
    /// Whether samples of this round carry their times.
    timed: AtomicBool,
    pub(super) ring: Ring,
    pub(super) unwinders: Unwinders,
    pub(super) counts: Counts,
    /// Rings when a thread was found that has no timer.
    pub(super) newcomers: Bell,
}

/// In periods of CPU time, since the process began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Those for which a signal came.
    pub(super) signalled: AtomicU64,
    /// Of the process' timer, for a thread that has its own, whose signal came before or comes together with it.
    pub(super) covered: AtomicU64,
    /// Written to the ring.
    pub(super) sampled: AtomicU64,
    /// Lost, because the ring was full, all unwinders were in use, or the thread was just taking a sample.
    pub(super) lost: AtomicU64,
}

/// Which timer of which round signalled.
#[derive(Clone, Copy)]
pub(super) struct Tag {
    pub(super) round: u32,
    /// `None` for the timer of the process, and for the wall clock.
    pub(super) thread: Option<NonZero<u32>>,
}

impl Engine {
    /// The only one. Makes it at the first call, which is not for the signal handler.
    pub(super) fn get() -> &'static Self {
        ENGINE.get_or_init(|| {
            let cpus = thread::available_parallelism().map_or(1, NonZero::get);
            Self {
                round: AtomicU32::new(0),
                rounds: AtomicU32::new(0),
                process: AtomicU32::new(0),
                timed: AtomicBool::new(false),
                ring: Ring::new(samples_between_drains(cpus)),
                unwinders: Unwinders::new((4 * cpus).clamp(8, 64)),
                counts: Counts::default(),
                newcomers: Bell::new(),
            }
        })
    }

    /// Begins a round. `None` where one is under way. `timed`: whether samples carry their times.
    pub(super) fn begin(&self, timed: bool) -> Option<u32> {
        let process = process::id();
        if self.process.swap(process, Ordering::AcqRel) != process {
            self.end();
        }
        let round = self.rounds.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let round = round.max(1);
        self.round
            .compare_exchange(0, round, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        self.timed.store(timed, Ordering::Relaxed);
        Some(round)
    }

    /// Ends the round: signals are ignored from now on.
    pub(super) fn end(&self) {
        self.round.store(0, Ordering::Release);
    }

    /// Makes the handler the one of the process' signal.
    ///
    /// # Errors
    ///
    /// Where the program has one of its own.
    pub(super) fn install() -> Result<(), String> {
        signal::install(|tick, registers| {
            if let Some(engine) = ENGINE.get() {
                engine.on_tick(tick, registers);
            }
        })
    }

    fn on_tick(&self, tick: Tick, registers: &Registers) {
        let tag = Tag::of(tick.tag);
        if tag.round != self.round.load(Ordering::Acquire) {
            return;
        }
        if tick.periods == 0 {
            return self.on_look(registers);
        }
        let counts = &self.counts;
        counts.add(&counts.signalled, tick.periods);
        let thread = match tag.thread {
            Some(thread) => {
                COVERED_IN.set(tag.round);
                thread.get()
            }
            None if COVERED_IN.get() == tag.round || tick.comes_with_timer => {
                return counts.add(&counts.covered, tick.periods);
            }
            None => {
                self.newcomers.ring();
                sys::thread_id()
            }
        };
        let seen = Seen::Periods(tick.periods);
        let sampled = one_at_a_time(|| self.sample(thread, seen, registers));
        let count = if sampled {
            &counts.sampled
        } else {
            &counts.lost
        };
        counts.add(count, tick.periods);
    }

    /// A look by the wall clock.
    fn on_look(&self, registers: &Registers) {
        let Some(thread) = in_spans::this() else {
            return;
        };
        let nanos = thread.take_owed();
        // It may have left its span meanwhile.
        if nanos == 0 || context::active().is_none() {
            return;
        }
        if !one_at_a_time(|| self.sample(thread.id(), Seen::Nanos(nanos), registers)) {
            // The next one is for this time, too.
            thread.owe(nanos);
        }
    }

    fn sample(&self, thread: u32, seen: Seen, registers: &Registers) -> bool {
        let Some(place) = self.ring.claim() else {
            return false;
        };
        place.thread(thread, sys::thread_name());
        let span = context::active();
        if let Some(span) = span {
            profiled::saw(span.local_root_id);
        }
        place.span(span);
        let timed = self.timed.load(Ordering::Relaxed);
        place.time(if timed { sys::now() } else { 0 });
        let mut stack = place.stack();
        let unwound = self
            .unwinders
            .unwind(thread, registers, |call| stack.push(call));
        if unwound {
            place.finish(seen);
        } else {
            place.give_back();
        }
        unwound
    }
}

impl Counts {
    fn add(&self, count: &AtomicU64, periods: u64) {
        count.fetch_add(periods, Ordering::Relaxed);
    }
}

impl Tag {
    pub(super) fn number(self) -> u64 {
        u64::from(self.round) << 32 | u64::from(self.thread.map_or(0, NonZero::get))
    }

    fn of(number: u64) -> Self {
        Self {
            round: (number >> 32) as u32,
            thread: NonZero::new(number as u32),
        }
    }
}

/// Room for what this many processors can find at 99 Hz from one drain to the next, eight times over.
fn samples_between_drains(cpus: usize) -> usize {
    (cpus * 160).clamp(256, 2048)
}

#[cfg(test)]
impl Engine {
    /// As in a child that was forked while the parent was sampled.
    pub(super) fn pretend_to_be_forked(&self) {
        self.begin(false);
        self.process.store(1, Ordering::Release);
    }

    /// What this thread's timer does.
    pub(super) fn signal_this_thread(&self) {
        let tag = Tag {
            round: self.round.load(Ordering::Acquire),
            thread: NonZero::new(sys::thread_id()),
        };
        signal::tests::signal_this_thread(tag.number());
    }

    /// What the wall clock does with this thread, if it has a span.
    pub(super) fn look_at_this_thread(&self) {
        let tag = Tag {
            round: self.round.load(Ordering::Acquire),
            thread: None,
        };
        in_spans::this().unwrap().owe(1);
        signal::send(sys::thread_id(), tag.number()).unwrap();
    }
}
