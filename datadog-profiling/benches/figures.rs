//! What being sampled costs a program: its CPU time, the time of a sample, its memory. Prints Markdown.
//!
//! Each kind of measurement runs in a process of its own, because samplers leave memory behind.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench ends at the first surprise, and prints its results"
)]
#![allow(unsafe_code, reason = "sends signals as the kernel's timers do")]

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, mem, ptr};

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_profiling::Profiler;
use datadog_transport::Standalone;
use pprof::ProfilerGuard;

const SOON: Duration = Duration::from_secs(60);
const DEPTHS: [u32; 3] = [0, 30, 100];
const PAIRS: usize = 14;
const SIGNALS: u32 = 2000;

const OURS: &str = "datadog-profiling";
const PPROF: &str = "pprof";
const NONE: &str = "none, twice";

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [_, "pairs", sampler] => println!("{}", pairs(sampler)),
        [_, "samples", sampler] => println!("{}", samples(sampler)),
        [_, "memory", sampler] => println!("{}", memory(sampler)),
        _ => tables(),
    }
}

fn tables() {
    println!(
        "### A busy thread with and without a sampler\n\n\
         Equal work, 30 calls deep, {PAIRS} pairs of runs in turns, at 99 Hz; the difference in the process' CPU time.\n\n\
         | sampler | median | quartiles |\n|---|--:|--:|"
    );
    for sampler in [OURS, PPROF, NONE] {
        println!("| {sampler} | {} |", in_a_process("pairs", sampler));
    }
    println!(
        "\n### One sample\n\n\
         CPU time of the interrupted thread, signal included; medians of {SIGNALS} signals one after the other.\n\n\
         | sampler | {} calls | {} calls | {} calls |\n|---|--:|--:|--:|",
        DEPTHS[0], DEPTHS[1], DEPTHS[2]
    );
    for sampler in [OURS, PPROF] {
        println!("| {sampler} | {} |", in_a_process("samples", sampler));
    }
    println!(
        "\n### Resident memory\n\n\
         Compared with before the start. The report names the functions, for which it reads this program's debug information.\n\n\
         | sampler | started | after 2 s of work | after the first report |\n|---|--:|--:|--:|"
    );
    for sampler in [OURS, PPROF] {
        println!("| {sampler} | {} |", in_a_process("memory", sampler));
    }
}

fn in_a_process(what: &str, sampler: &str) -> String {
    let program = env::current_exe().unwrap();
    let output = Command::new(program)
        .args([what, sampler])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} {sampler}: {errors}");
    eprintln!("{what} {sampler}: done");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// One of the samplers, at work.
enum Sampler {
    Ours(Standalone<Profiler>),
    Pprof(ProfilerGuard<'static>),
    None,
}

impl Sampler {
    fn start(name: &str, agent: &LocalAgent) -> Self {
        match name {
            OURS => {
                let config = DDConfig::builder()
                    .environment([("", "")])
                    .agent_url(agent.url())
                    .profiling_upload_period(Duration::from_secs(600))
                    .build()
                    .unwrap();
                let profiler = Profiler::start(&config).unwrap();
                profiler.start_sampling();
                while !profiler.is_sampling() {
                    std::thread::yield_now();
                }
                Self::Ours(profiler)
            }
            PPROF => Self::Pprof(ProfilerGuard::new(99).unwrap()),
            _ => Self::None,
        }
    }

    fn report(&self) {
        match self {
            Self::Ours(profiler) => assert_eq!(profiler.flush(SOON).delivered, 1),
            Self::Pprof(guard) => assert!(!guard.report().build().unwrap().data.is_empty()),
            Self::None => (),
        }
    }
}

fn pairs(sampler: &str) -> String {
    let agent = LocalAgent::start().unwrap();
    work();
    let mut differences: Vec<f64> = (0..PAIRS)
        .map(|pair| {
            let with = || {
                let sampler = Sampler::start(sampler, &agent);
                // What starting costs is not part of it.
                let time = cpu_time_of(work);
                drop(sampler);
                time
            };
            let (with, without) = if pair % 2 == 0 {
                let with = with();
                (with, cpu_time_of(work))
            } else {
                let without = cpu_time_of(work);
                (with(), without)
            };
            100.0 * (with / without - 1.0)
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    let quantile = |part: usize| differences[part * (PAIRS - 1) / 4];
    format!(
        "{:+.2} % | {:+.2} to {:+.2} %",
        quantile(2),
        quantile(1),
        quantile(3)
    )
}

/// Some 0.8 s.
fn work() {
    deep(30, &mut || {
        let mut state = 1_u64;
        for _ in 0..500_000_000_u64 {
            state ^= state << 13;
            state ^= state >> 7;
        }
        black_box(state);
    });
}

#[inline(never)]
fn deep(calls: u32, work: &mut dyn FnMut()) {
    if calls == 0 {
        work();
    } else {
        deep(calls - 1, work);
    }
    black_box(calls);
}

fn cpu_time_of(work: impl FnOnce()) -> f64 {
    let before = cpu_seconds(libc::CLOCK_PROCESS_CPUTIME_ID);
    work();
    cpu_seconds(libc::CLOCK_PROCESS_CPUTIME_ID) - before
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

fn samples(sampler: &str) -> String {
    let agent = LocalAgent::start().unwrap();
    let sampling = Sampler::start(sampler, &agent);
    let columns = DEPTHS.map(|depth| {
        let mut times = Vec::new();
        for _ in 0..SIGNALS {
            deep(depth, &mut || {
                let before = cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID);
                signal_this_thread();
                times.push(cpu_seconds(libc::CLOCK_THREAD_CPUTIME_ID) - before);
            });
            if times.len() % 100 == 0 {
                // Lets the ring be emptied.
                std::thread::sleep(Duration::from_millis(250));
            }
        }
        times.sort_by(f64::total_cmp);
        format!("{:.1} µs", times[times.len() / 2] * 1e6)
    });
    drop(sampling);
    columns.join(" | ")
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

fn memory(sampler: &str) -> String {
    let agent = LocalAgent::start().unwrap();
    let before = resident_megabytes();
    let sampling = Sampler::start(sampler, &agent);
    let started = resident_megabytes();
    (0..3).for_each(|_| work());
    let worked = resident_megabytes();
    sampling.report();
    let reported = resident_megabytes();
    [started, worked, reported]
        .map(|megabytes| format!("{:+.1} MB", megabytes - before))
        .join(" | ")
}

fn resident_megabytes() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    // SAFETY: takes a number.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64 / 1e6
}
