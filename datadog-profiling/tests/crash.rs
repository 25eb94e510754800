//! A program crashes, and its next start tells of it. The programs are this one, started again.

#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "crashes on purpose; clippy takes only functions marked as tests for tests"
)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, fs, thread};

use datadog_local_agent::{Endpoint, ErrorReport, Fault, LocalAgent};
use datadog_profiling::{DDConfig, DDConfigBuilder, Profiler};

const SOON: Duration = Duration::from_secs(20);

/// Does something only where another test of this file starts this program with a directory for reports. The service
/// says how it is to crash.
#[test]
fn as_a_program_that_crashes() {
    let config = DDConfig::builder().build().unwrap();
    if config.crashtracking_directory().is_none() {
        return;
    }
    let _profiler = Profiler::start(&config).unwrap();
    let worker = thread::Builder::new().name("till\n3".to_owned());
    let service = config.service().to_owned();
    let worker = worker.spawn(move || match &*service {
        "null" => reads_at_the_null_pointer(),
        "abort" => aborts(),
        "overflow" => drop(calls_itself(1)),
        "overflow-own" => {
            ends_aborts_itself();
            _ = calls_itself(1);
        }
        "floating" => divides_by_zero(),
        "illegal" => runs_into_nothing(),
        "sent" => is_sent_a_signal(),
        "forked" => a_child_crashes(),
        _ => (),
    });
    worker.unwrap().join().unwrap();
}

#[inline(never)]
fn reads_at_the_null_pointer() {
    let nowhere = std::hint::black_box(std::ptr::null::<u64>());
    // SAFETY: none; it is to crash.
    std::hint::black_box(unsafe { nowhere.read_volatile() });
}

#[inline(never)]
fn aborts() {
    std::process::abort();
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "it is to crash")]
fn calls_itself(calls: u64) -> u64 {
    std::hint::black_box(calls_itself(std::hint::black_box(calls + 1))) + 1
}

/// Installs a handler after that of the reports.
fn ends_aborts_itself() {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: it takes a number.
        unsafe { libc::_exit(17) };
    }
    let end = end as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler has the signature that is asked for.
    unsafe { libc::signal(libc::SIGABRT, end) };
}

#[inline(never)]
fn divides_by_zero() {
    // SAFETY: it takes a number. Not all processors tell of a division by zero.
    unsafe { libc::raise(libc::SIGFPE) };
}

#[inline(never)]
fn runs_into_nothing() {
    // SAFETY: none; it is to crash.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("ud2");
    }
    // SAFETY: none; it is to crash.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("udf #0");
    }
}

#[inline(never)]
fn is_sent_a_signal() {
    // SAFETY: it takes numbers.
    unsafe { libc::raise(libc::SIGBUS) };
}

#[inline(never)]
fn a_child_crashes() {
    // SAFETY: the child only ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::abort();
        }
        let mut status = 0;
        while libc::waitpid(child, &mut status, 0) < 0 {}
        assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
    }
}

/// Starts this program again, to crash in a way.
fn crash(how: &str, directory: &Path) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "as_a_program_that_crashes", "--nocapture"])
        .env("DD_CRASHTRACKING_ENABLED", "true")
        .env("DD_CRASHTRACKING_DIRECTORY", directory)
        .env("DD_SERVICE", how)
        .env("DD_ENV", "test")
        // Nothing is there.
        .env("DD_TRACE_AGENT_URL", "http://127.0.0.1:9")
        .output()
        .unwrap()
}

fn next_start(directory: &Path, agent: &LocalAgent) -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .crashtracking_enabled(true)
        .crashtracking_directory(directory.display().to_string())
}

/// Crashes are one client's of a process.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the next start sends, and how it is told of.
fn sent(directory: &Path, agent: &LocalAgent) -> Vec<ErrorReport> {
    let config = next_start(directory, agent).build().unwrap();
    let profiler = Profiler::start(&config).unwrap();
    profiler.flush(SOON);
    let health = profiler.health().total();
    assert_eq!(health.accepted, health.delivered, "{health:?}");
    assert_eq!(health.delivered, agent.errors().len() as u64);
    profiler.shutdown(SOON);
    assert_eq!(files(directory), Vec::<String>::new());
    agent.errors()
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn has(report: &ErrorReport, function: &str) -> bool {
    let mut frames = report.frames.iter();
    frames.any(|frame| frame.function.ends_with(function))
}

#[test]
fn a_crash_is_reported_by_the_next_start() {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    let agent = LocalAgent::start().unwrap();
    for (how, signal, kind, function) in [
        (
            "null",
            libc::SIGSEGV,
            "SIGSEGV",
            "reads_at_the_null_pointer",
        ),
        ("abort", libc::SIGABRT, "SIGABRT", "aborts"),
        ("overflow", libc::SIGABRT, "SIGSEGV", "calls_itself"),
        ("floating", libc::SIGFPE, "SIGFPE", "divides_by_zero"),
        ("illegal", libc::SIGILL, "SIGILL", "runs_into_nothing"),
    ] {
        let output = crash(how, directory.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(signal), "{how}: {told}");
        // The standard library's own handler did its part.
        assert_eq!(
            told.contains("overflowed its stack"),
            how == "overflow",
            "{told}"
        );

        agent.clear();
        let [report] = sent(directory.path(), &agent).try_into().unwrap();
        assert_eq!(report.kind, kind, "{how}");
        assert!(report.is_crash);
        assert!(has(&report, function), "{how}: {:#?}", report.frames);
        let own = report
            .frames
            .iter()
            .find(|frame| frame.function.ends_with(function));
        let own = own.unwrap();
        assert!(
            own.file.ends_with("tests/crash.rs") && own.line > 0,
            "{own:?}"
        );
        assert!(own.build_id.len() >= 16, "{own:?}");
        // An overflow is deeper than a report.
        assert_eq!(
            has(&report, "thread_start"),
            how != "overflow",
            "{:#?}",
            report.frames
        );
        assert_eq!(report.body["error"]["thread_name"], "till?3");
        assert_eq!(report.tag("service"), Some(how));
        assert_eq!(report.tag("env"), Some("test"));
        assert!(report.tag("runtime-id").is_some());
        assert!(report.timestamp_ms > 1_700_000_000_000);
        assert_eq!(report.body["sig_info"]["si_signo_human_readable"], kind);
        if how == "null" {
            assert_eq!(report.body["sig_info"]["si_addr"], "0x0000000000000000");
            assert_eq!(
                report.body["sig_info"]["si_code_human_readable"],
                "SEGV_MAPERR"
            );
        }
        let registers = report.body["ucontext"]["registers"].as_object().unwrap();
        assert!(registers.len() >= 18, "{registers:?}");
        let maps = report.body["files"]["/proc/self/maps"].as_array().unwrap();
        let stack = |line: &serde_json::Value| line.as_str().unwrap().contains("[stack]");
        assert!(maps.iter().any(stack));
    }
}

#[test]
fn a_signal_that_was_sent_ends_the_program_too() {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    let agent = LocalAgent::start().unwrap();
    // The standard library's handler of this signal lets the first one go, as it does without ours.
    let output = crash("sent", directory.path());
    assert_eq!(output.status.signal(), None);
    let output = crash("forked", directory.path());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sent(directory.path(), &agent).len(), 0);
}

#[test]
fn a_handler_that_came_later_has_its_say() {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    let agent = LocalAgent::start().unwrap();
    // The standard library aborts after an overflow.
    let output = crash("overflow-own", directory.path());
    assert_eq!(output.status.code(), Some(17), "{output:?}");
    let [report] = sent(directory.path(), &agent).try_into().unwrap();
    assert_eq!(report.kind, "SIGSEGV");
}

#[test]
fn a_report_waits_for_an_agent() {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    crash("null", directory.path());
    crash("abort", directory.path());
    assert_eq!(files(directory.path()).len(), 2);
    let agent = LocalAgent::start().unwrap();
    agent.fail_endpoint(Endpoint::Errors, Fault::Status(503));
    let config = next_start(directory.path(), &agent).build().unwrap();
    let profiler = Profiler::start(&config).unwrap();
    profiler.shutdown(Duration::from_secs(1));
    let health = profiler.health().total();
    assert_eq!((health.accepted, health.dropped.total()), (2, 2));
    assert_eq!(files(directory.path()).len(), 2);
    agent.heal();
    let mut reports = sent(directory.path(), &agent);
    reports.sort_by(|one, other| one.kind.cmp(&other.kind));
    assert_eq!(reports[0].kind, "SIGABRT");
    assert_eq!(reports[1].kind, "SIGSEGV");
}

#[test]
fn without_the_option_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "as_a_program_that_crashes"])
        .env("DD_CRASHTRACKING_DIRECTORY", directory.path())
        .env("DD_SERVICE", "null")
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
    assert_eq!(files(directory.path()), Vec::<String>::new());
}
