//! The timers of all threads.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::num::NonZero;
use std::time::Duration;

use crate::timer::engine::Tag;
use crate::timer::sys::{self, Clock, Timer};

/// The first kernel that gives the signal of a process' timer to the thread that runs (torvalds/linux: commit
/// e797203fb3ba). Before, the main thread got it, whoever ran.
const INTERRUPTS_WHO_RUNS: (u32, u32) = (6, 4);

/// Each timer takes one of the signals that the user's processes may have pending (`RLIMIT_SIGPENDING`), of which
/// systems allow some thousands.
const MOST_TIMERS: usize = 1024;

pub(super) struct Threads {
    round: u32,
    period: Duration,
    timers: HashMap<u32, Timer>,
    /// For threads that end before they are seen here.
    process: Option<Timer>,
}

impl Threads {
    /// Starts the timer of the process, and those of all threads of now.
    ///
    /// # Errors
    ///
    /// Where the system allows neither.
    pub(super) fn start(round: u32, period: Duration) -> io::Result<Self> {
        let mut threads = Self {
            round,
            period,
            timers: HashMap::new(),
            process: None,
        };
        let mut refused = None;
        if sys::kernel_is_at_least(INTERRUPTS_WHO_RUNS) {
            match threads.timer(None) {
                Ok(timer) => threads.process = Some(timer),
                Err(error) => refused = Some(error),
            }
        }
        let own = threads.timer(NonZero::new(sys::thread_id()));
        if let (Err(error), None) = (own, &threads.process) {
            return Err(refused.unwrap_or(error));
        }
        threads.scan();
        Ok(threads)
    }

    /// Looks for threads that began or ended. Where one gets no timer, that of the process stands in: `false`.
    pub(super) fn scan(&mut self) -> bool {
        let Ok(tasks) = fs::read_dir("/proc/self/task") else {
            return false;
        };
        let mut all = true;
        let mut before = std::mem::take(&mut self.timers);
        for task in tasks.flatten() {
            let name = task.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let timer = match before.remove(&thread) {
                Some(timer) => Ok(timer),
                None if self.timers.len() >= MOST_TIMERS => {
                    all = false;
                    continue;
                }
                None => self.timer(NonZero::new(thread)),
            };
            match timer {
                Ok(timer) => drop(self.timers.insert(thread, timer)),
                // Too many; any other error is that of a thread that just ended.
                Err(error) => all &= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        all
    }

    fn timer(&self, thread: Option<NonZero<u32>>) -> io::Result<Timer> {
        let round = self.round;
        let clock = thread.map_or(Clock::Process, |id| Clock::Thread(id.get() as libc::pid_t));
        Timer::start(clock, self.period, Tag { round, thread }.number())
    }
}
