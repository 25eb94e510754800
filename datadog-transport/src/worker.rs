//! The one thread that drives all signals of a client.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fork::Birthplace;
use crate::http::HttpClient;
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::{Account, SignalKind};

/// The half of a signal that runs on the worker.
pub trait Signal: Send {
    /// How often it runs when nothing else calls for it.
    fn period(&self) -> Duration;

    /// Takes what callers buffered, encodes it, and delivers what the receiver takes as far as `pass` allows.
    /// Returns when to run again if that is sooner than the period: the end of a back-off.
    fn run(&mut self, pass: &Pass) -> Option<Instant>;

    /// Refuses new items, and gives up those that are left. Called once, after the last run.
    fn close(&mut self);
}

/// One run of a signal.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Pass {
    /// Why it runs.
    pub occasion: Occasion,
    /// When it must have returned; with [`Occasion::Due`], the last moment to begin a request.
    pub deadline: Instant,
}

/// Why a signal runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occasion {
    /// Its period ended, or its buffer filled up. A back-off is respected.
    Due,
    /// The program asked for a flush: what is buffered is tried once, back-off or not, up to the first failure.
    Flush,
    /// The client is shutting down: a busy receiver is tried until the deadline, one that isn't there once.
    Shutdown,
}

/// Wakes the worker for one signal. Cheap to clone; a wake-up while one is on its way costs one atomic swap.
#[derive(Clone, Debug)]
pub struct Waker {
    kind: SignalKind,
    on_its_way: Arc<AtomicBool>,
    controls: Sender<Control>,
    birthplace: Birthplace,
}

/// What the worker is told.
#[derive(Debug)]
pub(crate) enum Control {
    Wake(SignalKind),
    Flush {
        kind: Option<SignalKind>,
        deadline: Instant,
        done: Sender<()>,
    },
    Shutdown {
        deadline: Instant,
        done: Sender<()>,
    },
}

pub(crate) type Controls = Receiver<Control>;

/// A signal with what the worker keeps about it.
pub(crate) struct Driven {
    pub(crate) kind: SignalKind,
    pub(crate) signal: Box<dyn Signal>,
    pub(crate) account: Arc<Account>,
    pub(crate) waker: Waker,
    due: Instant,
}

/// What the worker does besides the signals.
pub(crate) struct Chore {
    period: Duration,
    due: Instant,
    work: Box<dyn FnMut() + Send>,
}

/// How long one signal may keep beginning requests when it is merely due.
const DUE_LIMIT: Duration = Duration::from_secs(2);

thread_local! {
    static ON_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is a client's worker. What is logged there is about the client's own work, so a log handler
/// of the client must not take it.
#[inline]
pub fn on_worker() -> bool {
    ON_WORKER.try_with(Cell::get).unwrap_or(false)
}

/// The channel to a worker. Its few places are enough: a caller of `flush` waits for its answer, and each
/// signal has at most one wake-up on its way.
pub(crate) fn channel() -> (Sender<Control>, Controls) {
    bounded(64)
}

/// Ends what the worker is doing when a shutdown begins, so that one hanging request can't use up the time that
/// the other signals need to deliver what they have.
#[derive(Debug)]
pub(crate) struct Brake {
    http: Vec<HttpClient>,
    shutting_down: Mutex<bool>,
}

impl Brake {
    pub(crate) fn new(http: Vec<HttpClient>) -> Self {
        Self {
            http,
            shutting_down: Mutex::new(false),
        }
    }

    /// Ends the requests of work from before the shutdown.
    pub(crate) fn stop_earlier_work(&self) {
        let shutting_down = self.shutting_down.lock();
        if !*shutting_down {
            self.stop();
        }
    }

    /// Ends all requests.
    pub(crate) fn stop(&self) {
        self.http.iter().for_each(HttpClient::interrupt);
    }

    fn begin_shutdown(&self) {
        *self.shutting_down.lock() = true;
        self.http.iter().for_each(HttpClient::resume);
    }
}

/// The worker's life: runs what is due, then sleeps until the next due time, a wake-up, a flush or the end.
pub(crate) fn run(
    controls: &Controls,
    mut chores: Vec<Chore>,
    mut signals: Vec<Driven>,
    brake: &Brake,
) {
    ON_WORKER.set(true);
    loop {
        chores.retain_mut(|chore| chore.due > Instant::now() || chore.run());
        // First, and all of them: wake-ups of a busy signal must not keep the others from their turn.
        let now = Instant::now();
        signals
            .iter_mut()
            .filter(|driven| driven.due <= now)
            .for_each(Driven::run_due);
        let signals_due = signals.iter().map(|driven| driven.due);
        let due = signals_due
            .chain(chores.iter().map(|chore| chore.due))
            .min();
        let control = match due {
            Some(due) => controls.recv_deadline(due),
            None => controls.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match control {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Control::Wake(kind)) => {
                signals
                    .iter_mut()
                    .filter(|driven| driven.kind == kind)
                    .for_each(|driven| driven.due = now);
            }
            Ok(Control::Flush {
                kind,
                deadline,
                done,
            }) => {
                let mut wanted: Vec<&mut Driven> = signals
                    .iter_mut()
                    .filter(|driven| kind.is_none_or(|kind| driven.kind == kind))
                    .collect();
                run_all(&mut wanted, Occasion::Flush, deadline);
                let _ = done.try_send(());
            }
            Ok(Control::Shutdown { deadline, done }) => {
                brake.begin_shutdown();
                run_all(
                    &mut signals.iter_mut().collect::<Vec<_>>(),
                    Occasion::Shutdown,
                    deadline,
                );
                signals.iter_mut().for_each(Driven::close);
                let _ = done.try_send(());
                return;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Runs signals one after the other, each with an equal share of the time that is left, so that one dead
/// receiver can't use up the time of the others.
fn run_all(signals: &mut [&mut Driven], occasion: Occasion, deadline: Instant) {
    let count = signals.len();
    for (at, driven) in signals.iter_mut().enumerate() {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / (count - at) as u32;
        driven.run(Pass {
            occasion,
            deadline: now + share,
        });
    }
}

impl Driven {
    pub(crate) fn new(
        kind: SignalKind,
        signal: Box<dyn Signal>,
        account: Arc<Account>,
        waker: Waker,
    ) -> Self {
        let due = Instant::now() + signal.period();
        Self {
            kind,
            signal,
            account,
            waker,
            due,
        }
    }

    fn run_due(&mut self) {
        self.run(Pass {
            occasion: Occasion::Due,
            deadline: Instant::now() + DUE_LIMIT,
        });
    }

    fn run(&mut self, pass: Pass) {
        self.waker.arrived();
        let again = self.guard(|signal| signal.run(&pass)).flatten();
        let period_end = Instant::now() + self.signal.period();
        self.due = again.map_or(period_end, |again| again.min(period_end));
    }

    pub(crate) fn close(&mut self) {
        self.guard(|signal| signal.close());
    }

    /// A panic in one signal must not end the worker, which serves the others too.
    fn guard<T>(&mut self, work: impl FnOnce(&mut dyn Signal) -> T) -> Option<T> {
        let signal = self.signal.as_mut();
        catch_unwind(AssertUnwindSafe(|| work(signal)))
            .inspect_err(|_| {
                self.account
                    .error("the worker panicked in this signal: please report this as a bug")
            })
            .ok()
    }
}

impl Chore {
    pub(crate) fn new(period: Duration, work: impl FnMut() + Send + 'static) -> Self {
        Self {
            period,
            due: Instant::now() + period,
            work: Box::new(work),
        }
    }

    /// Returns whether it may run again: not after a panic.
    fn run(&mut self) -> bool {
        let result = catch_unwind(AssertUnwindSafe(&mut self.work));
        self.due = Instant::now() + self.period;
        if result.is_err() {
            log::error!(target: "datadog", "work of the worker panicked and is not done again: please report this as a bug");
        }
        result.is_ok()
    }
}

impl Waker {
    pub(crate) fn new(kind: SignalKind, controls: Sender<Control>) -> Self {
        Self {
            kind,
            on_its_way: Arc::new(AtomicBool::new(false)),
            controls,
            birthplace: Birthplace::here(),
        }
    }

    /// Lets the next wake-up through. What was pushed before one that was held back is seen from here on.
    pub(crate) fn arrived(&self) {
        self.on_its_way.swap(false, Ordering::AcqRel);
    }

    /// Asks the worker to run the signal soon. Never blocks.
    pub fn wake(&self) {
        if self.birthplace.is_here()
            && !self.on_its_way.swap(true, Ordering::AcqRel)
            && self.controls.try_send(Control::Wake(self.kind)).is_err()
        {
            self.on_its_way.store(false, Ordering::Release);
        }
    }
}
