//! What being sampled costs a program, and how true the profile is: CPU time, the time of a sample, memory, the shares of
//! threads. Prints Markdown.
//!
//! Each measurement runs in a process of its own, because samplers leave memory behind. pprof finds callers in one of three
//! ways, by its features; the argument says which one was built in. Without one, our own figures come first.

#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "sends signals as the kernel's timers do; a bench ends at the first surprise, and prints its results"
)]

#[path = "figures/allocations.rs"]
mod allocations;
#[path = "figures/locks.rs"]
mod locks;
#[path = "figures/pairs.rs"]
mod pairs;
#[path = "figures/sampler.rs"]
mod sampler;
#[path = "figures/wall.rs"]
mod wall;
#[path = "figures/work.rs"]
mod work;

use std::process::Command;
use std::time::Duration;
use std::{env, mem, ptr, thread};

use crate::sampler::{NONE, OURS, PPROF, SAMPLES_PER_SECOND, Sampler};
use crate::work::{
    deep, process_seconds, resident_megabytes, thread_seconds, work, work_a_little, work_on,
};

const SIGNALS: usize = 600;

/// What is measured in a process of its own, with the rows that it gives and the most that they may be.
const MEASUREMENTS: [(&str, &[(&str, &str)]); 9] = [
    (
        "pairs",
        &[
            (
                "CPU time at 99 Hz, 2 busy threads, 30 calls deep (95 % of confidence)",
                "+0.25 %",
            ),
            ("of that, threads and reports of the sampler", "–"),
            ("once: the start and the first report", "–"),
        ],
    ),
    (
        "samples",
        &[
            ("one sample, 30 calls deep", "6 µs"),
            ("one sample, 100 calls deep", "8 µs"),
        ],
    ),
    (
        "memory",
        &[
            ("resident memory before the first report", "4 MB"),
            ("resident memory after it", "50 MB"),
        ],
    ),
    (
        "idle",
        &[(
            "share of a mostly idle thread, and its share of the CPU time",
            "2 points apart",
        )],
    ),
    (
        "contention",
        &[(
            "samples in a CPU second at 100 Hz, 6 busy threads",
            "96 to 100",
        )],
    ),
    (
        "allocations",
        &[
            (
                "an allocation and its freeing, allocations recorded",
                "1.5 ns",
            ),
            ("the same, 512 MiB in use", "6 ns"),
        ],
    ),
    (
        "locks",
        &[("a free `Mutex`, more than parking_lot's", "1 ns")],
    ),
    (
        "busy in spans",
        &[(
            "CPU time as above, with `DD_PROFILING_WALLTIME_ENABLED`, in spans",
            "+0.5 %",
        )],
    ),
    (
        "waiting in spans",
        &[(
            "of a core, that for 8 or more threads that wait in spans",
            "+1 %",
        )],
    ),
];

/// Those that only our sampler has.
const OF_OURS: [&str; 4] = ["allocations", "locks", "busy in spans", "waiting in spans"];

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [_, "pairs", sampler] => pairs::print(sampler),
        [_, "signal", _] => println!("{:.1} µs", nothing_micros()),
        [_, "samples", sampler] => samples(sampler),
        [_, "memory", sampler] => memory(sampler),
        [_, "idle", sampler] => println!("{}", idle(sampler)),
        [_, "contention", sampler] => println!("{}", contention(sampler)),
        [_, "locks", _] => println!("{:+.2} ns", locks::added_nanos()),
        [_, "busy in spans", _] => println!("{}", pairs::with_wall()),
        [_, "waiting in spans", _] => println!("{}", wall::waiting()),
        [_, "allocations", _] => {
            for nanos in allocations::added_nanos() {
                println!("{nanos:+.2} ns");
            }
        }
        [_, pprof, ..] if pprof.starts_with(PPROF) => tables(&[pprof]),
        _ => tables(&[OURS, PPROF]),
    }
}

fn tables(samplers: &[&str]) {
    for sampler in samplers {
        println!("### {sampler}\n\n| what | measured | at most |\n|---|--:|--:|");
        for (what, rows) in MEASUREMENTS {
            if OF_OURS.contains(&what) && *sampler != OURS {
                continue;
            }
            let output = in_a_process(what, sampler);
            for ((row, limit), measured) in rows.iter().zip(output.lines()) {
                println!("| {row} | {measured} | {limit} |");
            }
        }
        println!();
    }
    if samplers.contains(&OURS) {
        let none = in_a_process("pairs", NONE);
        let none = none.lines().next().unwrap_or_default();
        let signal = in_a_process("signal", NONE);
        println!("Without any sampler: {none}. A signal whose handler does nothing: {signal}.\n");
        println!("{}\n", pairs::HOW);
    }
}

fn in_a_process(what: &str, sampler: &str) -> String {
    let program = env::current_exe().unwrap();
    let output = Command::new(program)
        .args([what, sampler])
        .output()
        .unwrap();
    eprintln!("{what}, {sampler}: {}", output.status);
    if !output.status.success() {
        // pprof's framehop can hang or crash at its start.
        return format!("{}\n", output.status).repeat(3);
    }
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The medians of the CPU time of a sample on the interrupted thread, at two depths, signal included.
fn samples(sampler: &str) {
    let sampling = Sampler::start(sampler);
    for depth in [30, 100] {
        println!("{:.1} µs", signal_micros(depth));
    }
    drop(sampling);
}

/// What a signal costs that is handled by nothing.
fn nothing_micros() -> f64 {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler has the signature that is wanted, and does nothing.
    unsafe { libc::signal(libc::SIGPROF, nothing as *const () as usize) };
    signal_micros(30)
}

fn signal_micros(depth: u32) -> f64 {
    let signal = Signal::of_this_thread();
    let (mut times, mut clock) = (Vec::new(), Vec::new());
    while times.len() < SIGNALS {
        deep(depth, &mut || {
            // A hot loop: the first of each row finds cold caches.
            for _ in 0..50 {
                let before = thread_seconds();
                let between = thread_seconds();
                signal.send();
                times.push(thread_seconds() - between);
                clock.push(between - before);
            }
        });
        // Lets the ring be emptied.
        thread::sleep(Duration::from_millis(250));
    }
    // To read the clock takes time, too.
    (median(times) - median(clock)) * 1e6
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn memory(sampler: &str) {
    work(100, 30);
    let before = resident_megabytes();
    let sampling = Sampler::start(sampler);
    work(2000, 30);
    let worked = resident_megabytes();
    sampling.report();
    let reported = resident_megabytes();
    for megabytes in [worked, reported] {
        println!("{:+.1} MB", megabytes - before);
    }
}

/// Two busy threads, and one that works now and then.
fn idle(sampler: &str) -> String {
    let time = Duration::from_secs(12);
    let sampling = Sampler::start(sampler);
    let before = process_seconds();
    let idle = thread::scope(|scope| {
        scope.spawn(|| work_on(time));
        let idle = thread::Builder::new().name("mostly-idle".to_owned());
        let idle = idle.spawn_scoped(scope, || {
            work_a_little(time);
            thread_seconds()
        });
        idle.unwrap().join().unwrap()
    });
    let truth = 100.0 * idle / (process_seconds() - before);
    let threads = sampling.report();
    let all: u64 = threads.values().sum();
    let found = threads.get("mostly-idle").copied().unwrap_or(0);
    format!(
        "{:.1} %, {truth:.1} %",
        100.0 * found as f64 / all.max(1) as f64
    )
}

fn contention(sampler: &str) -> String {
    let sampling = Sampler::start(sampler);
    let worked: f64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|index| {
                let worker = thread::Builder::new().name(format!("contender-{index}"));
                worker.spawn_scoped(scope, || {
                    work_on(Duration::from_secs(8));
                    thread_seconds()
                })
            })
            .collect();
        let times = workers.into_iter().map(|worker| worker.unwrap().join());
        times.map(Result::unwrap).sum()
    });
    let threads = sampling.report();
    let own = threads
        .iter()
        .filter(|(name, _)| name.starts_with("contender"));
    let found: u64 = own.map(|(_, count)| count).sum();
    let of_100_hz = 100.0 / f64::from(SAMPLES_PER_SECOND);
    format!("{:.1}", found as f64 * of_100_hz / worked)
}

/// `siginfo_t` of a timer (torvalds/linux: `include/uapi/asm-generic/siginfo.h`).
#[repr(C)]
struct TimerInfo {
    signal: i32,
    errno: i32,
    code: i32,
    pad: i32,
    timer: i32,
    overrun: i32,
    tag: u64,
}

/// What the sampler's timer of this thread sends.
struct Signal {
    info: libc::siginfo_t,
    process: i32,
    thread: i64,
}

impl Signal {
    fn of_this_thread() -> Self {
        // SAFETY: zero is a value of each of the structure's fields.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        // SAFETY: both take nothing.
        let (process, thread) = unsafe { (libc::getpid(), libc::syscall(libc::SYS_gettid)) };
        let timer = TimerInfo {
            signal: libc::SIGPROF,
            errno: 0,
            code: libc::SI_TIMER,
            pad: 0,
            timer: 0,
            overrun: 0,
            // The first start of the sampler, and the thread.
            tag: 1 << 32 | thread as u64,
        };
        // SAFETY: the kernel's structure is larger, and has the same layout so far.
        unsafe { ptr::write((&raw mut info).cast(), timer) };
        Self {
            info,
            process,
            thread,
        }
    }

    /// It is handled before this returns.
    fn send(&self) {
        // SAFETY: the structure is a live one; the rest is numbers.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_rt_tgsigqueueinfo,
                self.process,
                self.thread,
                libc::SIGPROF,
                &raw const self.info,
            )
        };
        assert_eq!(sent, 0);
    }
}
