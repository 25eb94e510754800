//! Logs alone, without the `datadog` facade, sent to a receiver inside this program that shows what arrived:
//! `cargo run -p datadog-logs --example logs_alone`.

#![expect(clippy::print_stdout, reason = "it shows something")]

use std::error::Error;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_logs::{Level, Logs};

fn main() -> Result<(), Box<dyn Error>> {
    let agent = LocalAgent::start()?;
    let config = DDConfig::builder()
        .service("kitchen")
        .logs_direct_submission_url(agent.url())
        .api_key("0123456789abcdef0123456789abcdef")
        .build()?;
    let logs = Logs::start(&config)?;

    logs.log(Level::Info, "the kitchen is open")
        .with("guests", 4);
    if let Err(error) = "three".parse::<u32>() {
        logs.exception(&error).with("recipe", "pancakes");
    }

    let report = logs.flush(Duration::from_secs(5));
    println!("{report}\n\n{}", agent.report());
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
