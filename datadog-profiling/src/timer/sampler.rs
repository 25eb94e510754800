//! The sampler: starts and stops the timers, and sums up what the handler found.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::sample::{SAMPLE_NANOS, Sample, Sampler, Samples};
use crate::timer::engine::Engine;
use crate::timer::sys;
use crate::timer::threads::Threads;

/// How often threads and libraries are looked for and the ring is emptied.
const LOOK_AROUND: Duration = Duration::from_millis(200);

pub(crate) struct TimerSampler {
    period: Duration,
    running: Option<Running>,
    lost_before: u64,
}

struct Running {
    watch: Arc<Watch>,
    thread: JoinHandle<()>,
}

/// What the worker and the watching thread share.
#[derive(Default)]
struct Watch {
    over: AtomicBool,
    found: Mutex<Samples>,
}

impl Default for TimerSampler {
    fn default() -> Self {
        Self {
            period: Duration::from_nanos(SAMPLE_NANOS),
            running: None,
            lost_before: 0,
        }
    }
}

impl Sampler for TimerSampler {
    fn start(&mut self) -> Result<(), String> {
        sys::install::<Engine>()?;
        let engine = Engine::get();
        let Some(round) = engine.begin() else {
            return Err("another profiler of this process runs".to_owned());
        };
        self.running = match Running::start(engine, round, self.period) {
            Ok(running) => Some(running),
            Err(error) => {
                engine.end();
                return Err(error);
            }
        };
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
        running.watch.over.store(true, Ordering::Release);
        running.thread.thread().unpark();
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
            sys::block_other_signals();
            while !watching.over.load(Ordering::Acquire) {
                threads.scan();
                engine.unwinders.refresh();
                watching.collect(engine);
                thread::park_timeout(LOOK_AROUND);
            }
        });
        let thread = thread.map_err(|error| format!("no thread to watch the timers: {error}"))?;
        Ok(Self { watch, thread })
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
