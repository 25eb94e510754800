//! In a real terminal.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::support::{DATADOG_RUN, PATH, all_signals, assert_has};

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// `datadog-run` in a terminal of its own.
struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let (pty, inside) = open().unwrap();
        pty.resize(Size::new(33, 99)).unwrap();
        let child = Command::new("/usr/bin/env")
            .args(["--default-signal", DATADOG_RUN])
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .spawn(inside)
            .unwrap();
        let pty = Arc::new(pty);
        let (send, output) = channel();
        let reader = Arc::clone(&pty);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Fails when nobody is in the terminal any more.
            while let Ok(count @ 1..) = (&*reader).read(&mut buffer) {
                let _ = send.send(buffer[..count].to_vec());
            }
        });
        Self {
            pty,
            child,
            output,
            seen: String::new(),
        }
    }

    /// Waits until the terminal has shown this.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in:\n{}", self.seen),
            }
        }
    }

    fn type_in(&self, text: &str) {
        (&*self.pty).write_all(text.as_bytes()).unwrap();
    }

    /// What the terminal showed, and how `datadog-run` ended.
    fn end(mut self) -> (String, ExitStatus) {
        while let Ok(bytes) = self.output.recv_timeout(LIMIT) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        (self.seen, self.child.wait().unwrap())
    }
}

const CTRL_C: &str = "\x03";

#[test]
fn the_terminal_is_the_program_s() {
    for local in [&[][..], &["--local"]] {
        let script = "test -t 0 && test -t 1 && test -t 2 && echo a terminal; stty size; read line; echo got $line";
        let mut terminal = Terminal::start(&[local, &["sh", "-c", script]].concat());
        terminal.expect("a terminal\r\n33 99\r\n");
        terminal.type_in("words\n");
        terminal.expect("got words\r\n");
        let (_, status) = terminal.end();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn ctrl_c_ends_the_program_and_leaves_the_report() {
    let mut terminal = Terminal::start(&["--local", &all_signals(), "wait"]);
    terminal.expect("all is sent");
    terminal.type_in(CTRL_C);
    let (seen, status) = terminal.end();
    assert_has(&seen, "shop.order");
    assert_has(&seen, "nothing was refused");
    assert_has(&seen, "ended: signal: 2 (SIGINT)");
    assert_eq!(status.signal(), Some(2));
}

#[test]
fn a_crash_and_a_deadly_signal_leave_the_report() {
    let killed = format!("{} 0; kill -9 $$", all_signals());
    for (arguments, ended, code, signal) in [
        (
            &[&*all_signals(), "panic"][..],
            "ended: exit status: 101",
            Some(101),
            None,
        ),
        (
            &[&*all_signals(), "abort"],
            "ended: signal: 6 (SIGABRT)",
            None,
            Some(6),
        ),
        (
            &["sh", "-c", &killed],
            "ended: signal: 9 (SIGKILL)",
            None,
            Some(9),
        ),
    ] {
        let terminal = Terminal::start(&[&["--local"], arguments].concat());
        let (seen, status) = terminal.end();
        assert_has(&seen, "all is sent");
        assert_has(&seen, "shop.order");
        assert_has(&seen, "nothing was refused");
        assert_has(&seen, ended);
        assert_eq!((status.code(), status.signal()), (code, signal));
    }
}

#[test]
fn without_local_the_program_s_end_is_seen() {
    for (end, code, signal) in [
        ("exit 101", Some(101), None),
        ("kill -6 $$", None, Some(6)),
        ("kill -9 $$", None, Some(9)),
    ] {
        let (_, status) = Terminal::start(&["sh", "-c", end]).end();
        assert_eq!((status.code(), status.signal()), (code, signal), "{end}");
    }
}

#[test]
fn ctrl_c_without_local_is_the_program_s() {
    let mut terminal = Terminal::start(&[
        "sh",
        "-c",
        "trap 'exit 9' INT; echo ready; while :; do sleep 0.02; done",
    ]);
    terminal.expect("ready");
    terminal.type_in(CTRL_C);
    let (_, status) = terminal.end();
    assert_eq!(status.code(), Some(9));
}

#[test]
fn ctrl_c_comes_once_and_the_program_may_go_on() {
    // The line that is read is the sign that all signals before it have come.
    let script = "trap 'echo int' INT; echo ready; while ! read line; do :; done; echo end $line";
    let mut terminal = Terminal::start(&["--local", "bash", "-c", script]);
    terminal.expect("ready");
    terminal.type_in(CTRL_C);
    terminal.expect("int\r\n");
    terminal.type_in("x\n");
    terminal.expect("end x");
    let (seen, status) = terminal.end();
    assert_eq!(seen.matches("int\r\n").count(), 1, "{seen}");
    assert!(status.success());
}

#[test]
fn what_arrived_so_far_is_shown_live() {
    let mut terminal = Terminal::start(&["--local", &all_signals(), "wait"]);
    terminal.expect("datadog-run: 1 span · ");
    terminal.expect("1 log · 1 profile\x1b");
    terminal.type_in(CTRL_C);
    let (seen, _) = terminal.end();
    assert_has(&seen, "ended: signal: 2 (SIGINT)");
}

#[test]
fn a_program_that_reads_keys_is_not_drawn_over() {
    let script = format!("stty -icanon; {} 0; read key; stty icanon", all_signals());
    let mut terminal = Terminal::start(&["--local", "sh", "-c", &script]);
    terminal.expect("all is sent");
    terminal.type_in("\n");
    let (seen, status) = terminal.end();
    assert!(status.success(), "{seen}");
    assert_has(&seen, "shop.order");
    assert!(!seen.contains("datadog-run: 1 span"), "{seen}");
}
