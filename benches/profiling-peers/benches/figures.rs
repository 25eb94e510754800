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
#[path = "figures/sampler.rs"]
mod sampler;
#[path = "figures/work.rs"]
mod work;

use std::process::Command;
use std::time::Duration;
use std::{env, mem, ptr, thread};

use crate::sampler::{NONE, OURS, PPROF, SAMPLES_PER_SECOND, Sampler};
use crate::work::{
    deep, process_seconds, resident_megabytes, thread_seconds, work, work_a_little, work_on,
};

const PAIRS: usize = 24;
const SIGNALS: usize = 600;

/// What is measured in a process of its own, with the rows that it gives and the most that they may be.
const MEASUREMENTS: [(&str, &[(&str, &str)]); 7] = [
    (
        "pairs",
        &[(
            "CPU time at 99 Hz, 2 busy threads, 30 calls deep (quartiles)",
            "+0.25 %",
        )],
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
];

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [_, "pairs", sampler] => println!("{}", pairs(sampler)),
        [_, "samples", sampler] => samples(sampler),
        [_, "memory", sampler] => memory(sampler),
        [_, "idle", sampler] => println!("{}", idle(sampler)),
        [_, "contention", sampler] => println!("{}", contention(sampler)),
        [_, "locks", _] => println!("{:+.2} ns", locks::added_nanos()),
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
            if ["allocations", "locks"].contains(&what) && *sampler != OURS {
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
        println!("Pairs without any sampler: {none}. Of {PAIRS} pairs of equal work, in turns.\n");
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
        return format!("{}\n", output.status).repeat(2);
    }
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The median of what sampling adds to the CPU time of two threads, and the quartiles.
fn pairs(sampler: &str) -> String {
    let two_threads = || {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| work(300, 30));
            }
        });
    };
    let time = || {
        let before = process_seconds();
        two_threads();
        process_seconds() - before
    };
    two_threads();
    let mut differences: Vec<f64> = (0..PAIRS)
        .map(|pair| {
            let with = || {
                let sampler = Sampler::start(sampler);
                // What starting costs is not part of it.
                let time = time();
                drop(sampler);
                time
            };
            let (with, without) = if pair % 2 == 0 {
                let with = with();
                (with, time())
            } else {
                let without = time();
                (with(), without)
            };
            100.0 * (with / without - 1.0)
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    let quantile = |part: usize| differences[part * (PAIRS - 1) / 4];
    let [low, median, high] = [1, 2, 3].map(quantile);
    format!("{median:+.2} % ({low:+.2} to {high:+.2})")
}

/// The medians of the CPU time of a sample on the interrupted thread, at two depths, signal included.
fn samples(sampler: &str) {
    let sampling = Sampler::start(sampler);
    for depth in [30, 100] {
        let mut times = Vec::new();
        while times.len() < SIGNALS {
            deep(depth, &mut || {
                // A hot loop: the first of each row finds cold caches.
                for _ in 0..50 {
                    let before = thread_seconds();
                    signal_this_thread();
                    times.push(thread_seconds() - before);
                }
            });
            // Lets the ring be emptied.
            thread::sleep(Duration::from_millis(250));
        }
        times.sort_by(f64::total_cmp);
        println!("{:.1} µs", times[times.len() / 2] * 1e6);
    }
    drop(sampling);
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

/// What the sampler's timer of this thread sends. It is handled before this returns.
fn signal_this_thread() {
    // SAFETY: zero is a value of each of the structure's fields.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: takes nothing.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
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
    // SAFETY: the structure is a live one; the rest is numbers.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            libc::getpid(),
            thread,
            libc::SIGPROF,
            &raw const info,
        )
    };
    assert_eq!(sent, 0);
}
