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

/// Far longer than it takes, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let _datadog = datadog::init_from_env()?;
    let client = datadog::client();
    client.profiling_start();
    // The profiler starts in the background.
    client.flush(LIMIT);
    order();
    client.profiling_stop();

    let Some(end) = std::env::args().nth(1) else {
        return Ok(()); // what is left is delivered here
    };
    client.flush(LIMIT);
    println!("all is sent");
    match end.as_str() {
        "panic" => panic!("as asked for"),
        "abort" => abort(),
        "wait" => loop {
            thread::park();
        },
        status => exit(status.parse()?),
    }
}

#[datadog::traced(name = "shop.order")]
fn order() {
    let client = datadog::client();
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
