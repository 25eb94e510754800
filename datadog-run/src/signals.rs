//! The signals that we pass on.

use std::fs;
use std::io;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::{Origin, WithOrigin};

/// Signals that ask a program for something.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// From now on we don't die of the signals that are passed on. What we ignore (`nohup`), the program goes on to ignore.
pub(crate) fn catch() -> io::Result<SignalsInfo<WithOrigin>> {
    let ignored = ignored_signals();
    let is_ignored = |signal: i32| ignored & (1 << (signal - 1)) != 0;
    let mut caught = vec![SIGCHLD];
    caught.extend(PASSED_ON.into_iter().filter(|signal| !is_ignored(*signal)));
    SignalsInfo::new(caught)
}

/// Sends the signal to the program, unless the program has it already or sent it itself.
pub(crate) fn pass_on(origin: &Origin, program: Pid) {
    // The kernel names no process: the signal comes from the terminal, and goes to all processes of the foreground.
    let Some(sender) = &origin.process else {
        return;
    };
    if sender.pid == program.as_raw_nonzero().get() {
        return;
    }
    if let Some(signal) = Signal::from_named_raw(origin.signal) {
        // Fails if the program has ended, which the caller is about to see.
        let _ = kill_process(program, signal);
    }
}

/// One bit a signal, from signal 1 on, as Linux tells it (proc_pid_status(5)); none on other systems.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
