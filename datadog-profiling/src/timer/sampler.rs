//! The sampler: starts and stops the timers, and sums up what the handler found.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use datadog_config::DDConfig;

use crate::sample::{SAMPLE_NANOS, Sample, Sampler, Samples};
use crate::timer::bounds;
use crate::timer::engine::Engine;
use crate::timer::signal;
use crate::timer::sys;
use crate::timer::threads::Threads;
use crate::timer::wall::Wall;

/// How often threads and libraries are looked for and the ring is emptied, at least.
const LOOK_AROUND: Duration = Duration::from_millis(200);

/// From one look to the next, when the handler finds threads without timers. Until they have one, the process' timer
/// gives them a share that depends on whose clock ticks first.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct TimerSampler {
    pub(super) period: Duration,
    /// Whether samples carry their times.
    timed: bool,
    /// Whether threads are also sampled by the wall clock.
    by_the_clock: bool,
    running: Option<Running>,
    lost_before: u64,
}

struct Running {
    watch: Arc<Watch>,
    thread: JoinHandle<()>,
    wall: Option<Wall>,
}

/// What the worker and the watching thread share.
#[derive(Default)]
struct Watch {
    over: AtomicBool,
    found: Mutex<Samples>,
}

impl TimerSampler {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            period: Duration::from_nanos(SAMPLE_NANOS),
            timed: config.profiling_timeline_enabled(),
            by_the_clock: config.profiling_walltime_enabled(),
            running: None,
            lost_before: 0,
        }
    }
}

impl Sampler for TimerSampler {
    fn knows_the_clock(&self) -> bool {
        true
    }

    fn start(&mut self) -> Result<(), String> {
        Engine::install()?;
        let engine = Engine::get();
        let Some(round) = engine.begin(self.timed) else {
            return Err("another profiler of this process runs".to_owned());
        };
        let mut running = match Running::start(engine, round, self.period) {
            Ok(running) => running,
            Err(error) => {
                engine.end();
                return Err(error);
            }
        };
        if self.by_the_clock {
            match Wall::start(round) {
                Ok(wall) => running.wall = Some(wall),
                Err(error) => log::warn!(target: "datadog", "profiling: {error}"),
            }
        }
        self.running = Some(running);
        Ok(())
    }

    fn drain(&mut self, take: &mut dyn FnMut(Sample<'_>)) -> Result<(), String> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let engine = Engine::get();
        running.watch.collect(engine);
        mem::take(&mut *running.watch.found()).iter().for_each(take);
        let lost = engine.counts.lost.load(Ordering::Relaxed);
        let new = lost - mem::replace(&mut self.lost_before, lost);
        if new > 0 {
            log::warn!(target: "datadog", "profiling: {new} samples were lost, too many came at once");
        }
        Ok(())
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        Engine::get().end();
        drop(running.wall);
        running.watch.over.store(true, Ordering::Release);
        running.thread.thread().unpark();
        Engine::get().newcomers.ring();
        // It only panics with the process.
        let _ = running.thread.join();
    }
}

impl Drop for TimerSampler {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    fn start(engine: &'static Engine, round: u32, period: Duration) -> Result<Self, String> {
        sys::allow_reads()?;
        engine.unwinders.refresh();
        engine.ring.drain(|_late_one_of_the_last_round| ());
        let mut threads = Threads::start(round, period).map_err(|error| {
            format!("the system allows no timers of CPU time (timer_create: {error})")
        })?;
        let watch = Arc::new(Watch::default());
        let watching = Arc::clone(&watch);
        let thread = thread::Builder::new().name("datadog-sampler".to_owned());
        let thread = thread.spawn(move || {
            signal::block_other_signals();
            bounds::learn();
            while !watching.over.load(Ordering::Acquire) {
                let all_have_timers = threads.scan();
                engine.unwinders.refresh();
                watching.collect(engine);
                if all_have_timers {
                    thread::park_timeout(SHORT_PAUSE);
                    engine.newcomers.wait(LOOK_AROUND - SHORT_PAUSE);
                } else {
                    thread::park_timeout(LOOK_AROUND);
                }
            }
        });
        let thread = thread.map_err(|error| format!("no thread to watch the timers: {error}"))?;
        Ok(Self {
            watch,
            thread,
            wall: None,
        })
    }
}

impl Watch {
    fn collect(&self, engine: &Engine) {
        let mut found = self.found();
        engine.ring.drain(|sample| found.add(sample));
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Samples> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::hint::black_box;
    use std::sync::mpsc;

    use datadog_transport::context::{self, ActiveSpan};

    use super::*;
    use crate::sample::SpanIds;
    use crate::sampler::tests::turn;
    use crate::symbol::Symbols;

    /// The CPU time of this thread, which other programs on the machine don't shorten.
    fn cpu_time() -> Duration {
        let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
    }

    /// Works for so much CPU time: three parts in `hot`, one in `cold`.
    fn work(time: Duration) {
        let end = cpu_time() + time;
        while cpu_time() < end {
            hot(300_000);
            cold(100_000);
        }
    }

    #[inline(never)]
    fn hot(rounds: u64) {
        spin(rounds);
    }

    #[inline(never)]
    fn cold(rounds: u64) {
        spin(rounds);
    }

    #[inline(always)]
    fn spin(rounds: u64) {
        let mut state = rounds;
        for _ in 0..rounds {
            state ^= state << 13;
            state ^= state >> 7;
        }
        black_box(state);
    }

    fn sampler() -> TimerSampler {
        TimerSampler {
            period: Duration::from_nanos(SAMPLE_NANOS),
            timed: false,
            by_the_clock: false,
            running: None,
            lost_before: 0,
        }
    }

    /// Signals at each tick of most kernels, so that a test needs less time for as many samples.
    fn start() -> TimerSampler {
        let mut sampler = sampler();
        sampler.period = Duration::from_millis(4);
        sampler.start().unwrap();
        sampler
    }

    #[derive(Debug)]
    struct Found {
        names: Vec<String>,
        thread: String,
        thread_id: u32,
        span: Option<SpanIds>,
        count: u64,
    }

    fn drain(sampler: &mut TimerSampler) -> Vec<Found> {
        let (mut all, mut symbols) = (Vec::new(), Symbols::default());
        sampler
            .drain(&mut |sample| {
                let calls = sample.stack.iter();
                all.push(Found {
                    names: calls
                        .flat_map(|call| symbols.at(*call).to_vec())
                        .map(|symbol| symbol.name)
                        .collect(),
                    thread: sample.thread.to_owned(),
                    thread_id: sample.thread_id,
                    span: sample.span,
                    count: sample.count,
                });
            })
            .unwrap();
        all
    }

    fn sum(all: &[Found], of: impl Fn(&Found) -> bool) -> f64 {
        let found = all.iter().filter(|found| of(found));
        found.map(|found| found.count).sum::<u64>() as f64
    }

    fn named<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn_scoped(scope, work).unwrap().join().unwrap()
        })
    }

    #[test]
    fn functions_get_their_share() {
        let _turn = turn();
        let mut sampler = start();
        named("shares", || work(Duration::from_millis(4400)));
        let mut all = drain(&mut sampler);
        all.retain(|found| found.thread == "shares");
        let total = sum(&all, |_| true);
        assert!((1000.0..1200.0).contains(&total), "{total} samples");
        let with = |name: &str| {
            sum(&all, |found| {
                found.names.iter().any(|at| at.ends_with(name))
            })
        };
        let (hot, cold) = (with("hot"), with("cold"));
        assert!((hot / (hot + cold) - 0.75).abs() < 0.04, "{hot} : {cold}");
        assert!(hot + cold > 0.9 * total, "{hot} + {cold} of {total}");
        // Each stack reaches from there to the start of the thread.
        let rooted = sum(&all, |found| {
            found.names.iter().any(|at| at.contains("thread_start"))
        });
        assert!(rooted > 0.97 * total, "{rooted} of {total}");
    }

    #[test]
    fn threads_get_their_share() {
        let _turn = turn();
        let mut sampler = start();
        let times = [("much", 2400), ("some", 800), ("little", 160)];
        let own = thread::scope(|scope| {
            let threads = times.map(|(name, millis)| {
                let work = move || {
                    work(Duration::from_millis(millis));
                    cpu_time().as_secs_f64()
                };
                scope.spawn(move || named(name, work))
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let all = drain(&mut sampler);
        let found = times.map(|(name, _)| sum(&all, |found| found.thread == name));
        // By their own clocks, so that it doesn't matter how long they had to wait for a processor.
        let share = |all: [f64; 3], at: usize| all[at] / all.iter().sum::<f64>();
        for (at, (name, _)) in times.into_iter().enumerate() {
            let (found, own) = (share(found, at), share(own, at));
            assert!((found - own).abs() < 0.02, "{name}: {found:.3} of {own:.3}");
        }
        let periods = own.iter().sum::<f64>() / 0.004;
        let ratio = found.iter().sum::<f64>() / periods;
        assert!((0.95..1.05).contains(&ratio), "{found:?} of {periods}");
    }

    #[test]
    fn threads_that_wait_are_left_alone() {
        let _turn = turn();
        let mut sampler = start();
        let all = thread::scope(|scope| {
            let waiting: Vec<_> = ["waits", "waits-too"]
                .into_iter()
                .map(|name| {
                    let (over, wait) = mpsc::channel::<()>();
                    scope.spawn(move || named(name, move || wait.recv()));
                    over
                })
                .collect();
            let busy = [(); 2].map(|()| scope.spawn(|| work(Duration::from_millis(800))));
            busy.into_iter().for_each(|busy| busy.join().unwrap());
            drop(waiting);
            drain(&mut sampler)
        });
        let waiting = sum(&all, |found| found.thread.starts_with("waits"));
        // They may be seen where they start.
        assert!(waiting <= 2.0, "{waiting} of {}", sum(&all, |_| true));
    }

    #[test]
    fn threads_that_end_before_they_are_seen_are_covered() {
        let _turn = turn();
        let mut sampler = start();
        let mut worked = Duration::ZERO;
        for _ in 0..40 {
            worked += named("short", || {
                work(Duration::from_millis(30));
                cpu_time()
            });
        }
        let found = sum(&drain(&mut sampler), |found| found.thread == "short");
        let found = Duration::from_millis(4).mul_f64(found);
        assert!(
            found > worked.mul_f64(0.75) && found < worked.mul_f64(1.25),
            "{found:?} of {worked:?}"
        );
    }

    #[test]
    fn samples_carry_the_thread_and_the_span() {
        let _turn = turn();
        let mut sampler = start();
        let span = |id| ActiveSpan {
            trace_id: 1,
            span_id: id,
            local_root_id: 100 + id,
        };
        let thread_id = named("with-a-span", || {
            for id in 1..=3 {
                context::set(Some(span(id)));
                work(Duration::from_millis(200));
            }
            context::set(None);
            work(Duration::from_millis(200));
            sys::thread_id()
        });
        let mut by_span = HashMap::<_, u64>::new();
        for found in drain(&mut sampler) {
            if found.thread == "with-a-span" {
                assert_eq!(found.thread_id, thread_id);
                *by_span.entry(found.span).or_default() += found.count;
            } else {
                assert_eq!(found.span, None);
            }
        }
        for id in 0..=3 {
            let span = (id != 0).then_some(SpanIds {
                id,
                local_root: 100 + id,
            });
            let count = by_span.remove(&span).unwrap_or(0);
            assert!((40..65).contains(&count), "{span:?}: {count}");
        }
        assert_eq!(by_span, HashMap::new());
    }

    #[test]
    fn one_runs_at_a_time() {
        let _turn = turn();
        let mut first = start();
        let error = sampler().start().unwrap_err();
        assert!(error.contains("another profiler"), "{error}");
        first.stop();
        sampler().start().unwrap();
    }

    #[test]
    fn a_forked_child_can_be_sampled_by_its_own() {
        let _turn = turn();
        Engine::get().pretend_to_be_forked();
        let mut childs = start();
        named("child", || work(Duration::from_millis(200)));
        assert!(sum(&drain(&mut childs), |found| found.thread == "child") > 30.0);
    }

    #[test]
    fn nothing_is_found_when_it_is_over() {
        let _turn = turn();
        let mut sampler = start();
        sampler.stop();
        let signalled = || Engine::get().counts.signalled.load(Ordering::Relaxed);
        let before = signalled();
        work(Duration::from_millis(100));
        assert_eq!(signalled(), before);
        assert_eq!(drain(&mut sampler).len(), 0);
    }
}
