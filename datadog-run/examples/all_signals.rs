//! Sends a span, a metric, a log and a profile, and ends as its argument says: `panic`, `abort`, `wait` for a signal, or a
//! number to exit with. Try it:
//!
//! ```sh
//! cargo build --package datadog-run --example all_signals
//! cargo run --package datadog-run -- --local -- target/debug/examples/all_signals
//! ```

#![expect(clippy::print_stdout, reason = "says when everything is sent")]

use std::error::Error;
use std::process::{abort, exit};
use std::thread;
use std::time::Duration;

use datadog::{DDClient, DDConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let client = DDClient::new(DDConfig::from_env()?)?;
    client.profiling_start();
    // The profiler starts in the background.
    client.flush_profiles();
    client.traced("shop.order", |_| work(&client));
    client.profiling_stop();
    client.flush(Duration::from_secs(10));
    println!("all is sent");

    match std::env::args().nth(1).as_deref() {
        Some("panic") => panic!("as asked for"),
        Some("abort") => abort(),
        Some("wait") => loop {
            thread::park();
        },
        Some(status) => exit(status.parse()?),
        None => Ok(()),
    }
}

fn work(client: &DDClient) {
    client.count("orders", 1, [("shop", "main")]);
    client.info("order taken");
    client.gauge("checksum", checksum() as f64, ());
}

/// Enough work for the profiler to see, which looks 100 times in a second of CPU time.
fn checksum() -> u64 {
    let (mut sum, mut number) = (0, 0);
    while number < 100_000_000_u64 {
        sum = (sum * 31 + number) % 1_000_003;
        number += 1;
    }
    sum
}
