//! What the sampler does where a seccomp filter forbids what it would use.

#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "installs filters; clippy takes only functions marked as tests for tests"
)]

use std::ffi::c_long;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use datadog_local_agent::{Label, LocalAgent};
use datadog_profiling::{DDConfig, Profiler, Standalone};

const SOON: Duration = Duration::from_secs(20);

/// Lets this thread, and all that it starts, be refused a system call (kernel.org: "Seccomp BPF").
fn forbid(call: c_long) {
    let step = |code: u32, jump_false: u8, value: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: jump_false,
        k: value,
    };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is a live one, with as many steps as it says; the kernel copies it.
    let (zero, one): (libc::c_ulong, libc::c_ulong) = (0, 1);
    unsafe {
        assert_eq!(
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero),
            0
        );
        let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
        let set = libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program);
        assert_eq!(set, 0);
    }
}

/// A profiler that was asked to sample, of a thread that may not use a system call.
fn without<T: Send>(
    call: c_long,
    then: impl FnOnce(&LocalAgent, Standalone<Profiler>) -> T + Send,
) -> T {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .profiling_walltime_enabled(true)
        .profiling_enabled(true);
    let config = config.build().unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            forbid(call);
            let profiler = Profiler::start(&config).unwrap();
            profiler.flush(SOON);
            then(&agent, profiler)
        });
        thread.join().unwrap()
    })
}

#[inline(never)]
fn works() {
    let mut state = 1_u64;
    for _ in 0..1_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
    }
    black_box(state);
}

#[test]
fn what_is_forbidden_is_done_otherwise_or_told() {
    // Nothing else interrupts a thread by its CPU time; `pprof` goes by that of the process.
    without(libc::SYS_timer_create, |_, profiler| {
        // That one can't do without unwind tables in the C library.
        if cfg!(feature = "pprof") && !cfg!(target_env = "musl") {
            return assert!(profiler.is_sampling());
        }
        assert!(!profiler.is_sampling());
        let last = profiler.health().total().last_error;
        let text = last.unwrap().message;
        assert!(text.contains("timer_create"), "{text}");
    });
    // Threads are sampled by their CPU time alone.
    without(libc::SYS_rt_tgsigqueueinfo, |_, profiler| {
        assert!(profiler.is_sampling());
    });
    // Stacks are read from the process' file instead.
    without(libc::SYS_process_vm_readv, |agent, profiler| {
        assert!(profiler.is_sampling());
        let worker = thread::Builder::new().name("works".to_owned());
        let worker = worker.spawn(|| {
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                works();
            }
        });
        worker.unwrap().join().unwrap();
        profiler.flush(SOON);
        let profiles = agent.profiles();
        let found = profiles.last().unwrap().pprof().unwrap();
        let at = found.sample_type("cpu-samples").unwrap();
        let is_own = |sample: &&datadog_local_agent::Sample| {
            sample.label("thread name") == Some(&Label::Text("works".into()))
        };
        let own: Vec<_> = found.samples.iter().filter(is_own).collect();
        let with = |name: &str| -> i64 {
            let has = |sample: &&&datadog_local_agent::Sample| {
                let mut stack = sample.stack.iter();
                stack.any(|frame| frame.function.contains(name))
            };
            own.iter().filter(has).map(|sample| sample.values[at]).sum()
        };
        let all: i64 = own.iter().map(|sample| sample.values[at]).sum();
        assert!(all > 10, "{all} samples");
        // Not the innermost call alone, which needs no reading.
        assert!(
            with("thread_start") * 10 > all * 9,
            "{} of {all}",
            with("thread_start")
        );
        assert!(with("works") * 10 > all * 9, "{} of {all}", with("works"));
    });
}
