//! The whole client in one program: nested work, logs, metrics and a CPU profile, all of which know of each other.
//!
//! `cargo xtask demo` runs it against a receiver of its own and shows what arrived. Run alone, it sends to the
//! agent that the environment names, and to the logs intake if `DD_API_KEY` is set.

#![expect(clippy::print_stdout, reason = "the last lines are for the reader")]

use std::error::Error;
use std::thread;
use std::time::Duration;

use datadog::{DDClient, DDConfig};

/// Of one picture.
const PIXELS: u64 = 150_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let config = DDConfig::builder()
        .service("image-shop")
        .env("demo")
        .version("1.0.0")
        .tags([("team", "storefront")])
        .build()?;
    let client = DDClient::new(config)?;
    client.log_handler().install()?;

    client.profiling_start();
    // The profiler starts in the background; this waits for it, so that even a short program is sampled from here on.
    client.flush_profiles();
    client.info("open for business").with("orders.expected", 3);
    for order in ["A-1", "A-2", "A-three"] {
        handle(&client, order);
    }
    client.profiling_stop();

    client.flush(Duration::from_secs(10));
    let total = client.health().total();
    println!("{}", client.health());
    println!(
        "totals: accepted {}, delivered {}, dropped {}",
        total.accepted,
        total.delivered,
        total.dropped.total()
    );
    Ok(())
}

/// One request of the service: the first span of a trace.
fn handle(client: &DDClient, order: &str) {
    let mut span = client.trace("web.request");
    span.set_resource("POST /orders")
        .set_type("web")
        .set_tag("order.id", order);
    client.count("orders.received", 1, [("shop", "main")]);
    let _timer = client.measure("orders.duration", [("shop", "main")]);

    match quantity(client, order) {
        Ok(quantity) => {
            // Any library that uses the `log` crate is part of the trace too.
            log::info!("order {order} has {quantity} pictures");
            let checksum = client.traced("image.resize", |span| {
                span.set_tag("image.count", quantity);
                resize_images(quantity)
            });
            client.debug("pictures resized").with("checksum", checksum);
            store(client);
        }
        Err(error) => {
            span.set_error(&error);
            client.exception(&error).with("order.id", order);
            client.count("orders.refused", 1, [("shop", "main")]);
        }
    }
    client.gauge("orders.queue", 0.0, ());
}

fn quantity(client: &DDClient, order: &str) -> Result<u32, std::num::ParseIntError> {
    client.traced("order.parse", |_| order.trim_start_matches("A-").parse())
}

fn store(client: &DDClient) {
    let mut span = client.trace("postgres.query");
    span.set_service("image-db")
        .set_resource("INSERT INTO images VALUES ($1)")
        .set_type("sql");
    thread::sleep(Duration::from_millis(20));
    client.warning("slow insert").with("db.rows", 1);
}

/// Work for the profiler to find: plain arithmetic, because in an unoptimised build every call is a function of its own.
#[inline(never)]
fn resize_images(count: u32) -> u64 {
    let (mut checksum, mut pixel) = (0, 0);
    while pixel < u64::from(count) * PIXELS {
        checksum = (checksum * 31 + pixel) % 1_000_003;
        pixel += 1;
    }
    checksum
}
