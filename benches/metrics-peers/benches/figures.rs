//! What whole processes do: the CPU time that a metric costs, and what is lost in a burst, at the exit and while the agent
//! restarts. Prints tables in Markdown.
//!
//! Each client runs in a process of its own, which this program starts from itself, and sends to a server here that counts what
//! arrives.

#![allow(clippy::unwrap_used, reason = "a bench ends at the first surprise")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "that is its use")]

mod figures {
    pub(crate) mod client;
    pub(crate) mod server;
    pub(crate) mod tables;
}

use figures::{client, tables};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, flag, client, task, server] if flag == client::FLAG => {
            client::run(client, task, server)
        }
        _ => tables::print(),
    }
}
