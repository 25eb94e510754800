//! Work to be sampled, and what it cost.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// So many xorshift steps take about a millisecond.
const STEPS_OF_A_MILLISECOND: u64 = 600_000;

/// Work of the same amount each time, so many calls deep.
pub(crate) fn work(millis: u64, calls: u32) {
    deep(calls, &mut || {
        let mut state = 1_u64;
        for _ in 0..millis * STEPS_OF_A_MILLISECOND {
            state ^= state << 13;
            state ^= state >> 7;
        }
        black_box(state);
    });
}

#[inline(never)]
pub(crate) fn deep(calls: u32, work: &mut dyn FnMut()) {
    if calls == 0 {
        work();
    } else {
        deep(calls - 1, work);
    }
    black_box(calls);
}

/// Works now and then: one millisecond in about ten.
pub(crate) fn work_a_little(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        work(1, 30);
        std::thread::sleep(Duration::from_millis(9));
    }
}

pub(crate) fn work_on(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        work(1, 30);
    }
}

/// The CPU time of the process, in seconds.
pub(crate) fn process_seconds() -> f64 {
    cpu_seconds(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The CPU time of this thread, in seconds, which other programs on the machine don't lengthen.
pub(crate) fn thread_seconds() -> f64 {
    cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn cpu_seconds(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value of its type.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut time) }, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

pub(crate) fn resident_megabytes() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    // SAFETY: takes a number.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64 / 1e6
}
