//! The tables: starts each client, and reckons with what it told and what arrived.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::client::{self, ANSWER, CLIENTS, EXIT, NONE, RESTART};
use super::server::{Counting, Transport};

/// Prints all tables.
pub(crate) fn print() {
    rate();
    burst();
    exit_and_restart();
}

fn rate() {
    println!(
        "CPU time of the whole process for one count of 3 tags, at 30,000 calls a second over UDP, 100 of them each 3 ms; what the \
         client takes is what is more than without one, where the program only sleeps and wakes:\n"
    );
    println!(
        "| client | CPU time | of it the client's | metrics in a datagram |\n|---|---|---|---|"
    );
    let mut without = 0;
    let folder = tempfile::tempdir().unwrap();
    for client in [NONE].into_iter().chain(CLIENTS) {
        let server = Counting::start(Transport::Udp, folder.path());
        let mut process = Process::start(client, "rate", &server);
        let [nanos, calls] = process.answer();
        let sum = if client == NONE { 0 } else { calls + 1 };
        let arrived = server.settle(sum);
        process.end();
        let in_a_datagram = arrived.sum.checked_div(arrived.datagrams);
        if client == NONE {
            without = nanos;
        }
        println!(
            "| {client} | {} | {} | {} |",
            micros(nanos),
            micros(nanos.saturating_sub(without)),
            in_a_datagram.map_or_else(String::new, thousands)
        );
    }
}

fn burst() {
    println!("\nA burst of a million counts on one thread, or of 1 s where that is less:\n");
    println!(
        "| client | over | calls | time of a call | calls that failed | lost | most memory |\n|---|---|---|---|---|---|---|"
    );
    for client in CLIENTS {
        for (transport, over) in [(Transport::Udp, "UDP"), (Transport::Unix, "Unix datagram")] {
            let folder = tempfile::tempdir().unwrap();
            let server = Counting::start(transport, folder.path());
            let mut process = Process::start(client, "burst", &server);
            let [calls, errors, nanos] = process.answer();
            let arrived = server.settle(calls);
            process.go_on();
            let [memory] = process.answer();
            process.end();
            println!(
                "| {client} | {over} | {} | {} | {} | {} | {} MiB |",
                thousands(calls),
                micros(nanos / calls),
                thousands(errors),
                share(calls, arrived.sum),
                memory / 1024
            );
        }
    }
}

fn exit_and_restart() {
    println!(
        "\nLost over a Unix datagram socket, calls that failed included: of {} counts before the client is dropped and \
         `main` is left; of {} counts while the agent is away and as many when it is back:\n",
        thousands(EXIT),
        thousands(RESTART)
    );
    println!("| client | at the exit | over a restart |\n|---|---|---|");
    for client in CLIENTS {
        let folder = tempfile::tempdir().unwrap();
        let at_exit = share(EXIT, lost_at_exit(client, folder.path()));
        let over_restart = share(2 * RESTART, received_over_restart(client, folder.path()));
        println!("| {client} | {at_exit} | {over_restart} |");
    }
}

fn lost_at_exit(client: &str, folder: &Path) -> u64 {
    let server = Counting::start(Transport::Unix, folder);
    Process::start(client, "exit", &server).end();
    server.settle(EXIT).sum
}

/// What arrives of the counts from when the agent went.
fn received_over_restart(client: &str, folder: &Path) -> u64 {
    let server = Counting::start(Transport::Unix, folder);
    let mut process = Process::start(client, "restart", &server);
    let [] = process.answer();
    let before = server.settle(RESTART).sum;
    drop(server);
    process.go_on();
    let [] = process.answer();
    let server = Counting::start(Transport::Unix, folder);
    process.go_on();
    let [] = process.answer();
    // What did not arrive before may do so now, and is not to count.
    let late = RESTART - before;
    let arrived = server.settle(2 * RESTART + late).sum;
    process.end();
    arrived.saturating_sub(late).min(2 * RESTART)
}

/// A process with one client.
struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Process {
    fn start(client: &str, task: &str, server: &Counting) -> Self {
        eprintln!("{task}: {client}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([client::FLAG, client, task, &client::text(&server.place)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            to: child.stdin.take().unwrap(),
            from: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The numbers of its next line.
    fn answer<const N: usize>(&mut self) -> [u64; N] {
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some(answer) = line.strip_prefix(ANSWER) {
                let numbers = answer
                    .split_whitespace()
                    .map(|number| number.parse().unwrap());
                return numbers.collect::<Vec<_>>().try_into().unwrap();
            }
        }
    }

    fn go_on(&mut self) {
        self.to.write_all(b"\n").unwrap();
    }

    /// Lets it run to its end.
    fn end(mut self) {
        drop(self.to);
        // Reads what it may still print, as it waits for that.
        std::io::copy(&mut self.from, &mut std::io::sink()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

fn micros(nanos: u64) -> String {
    format!("{:.3} µs", nanos as f64 / 1e3)
}

/// Which part of `sent` did not arrive.
fn share(sent: u64, arrived: u64) -> String {
    match sent.saturating_sub(arrived) {
        0 => "0".to_owned(),
        lost => format!("{:.2} %", lost as f64 * 100.0 / sent as f64),
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
