//! Metrics alone, without the `datadog` facade, sent to a receiver inside this program that shows what arrived:
//! `cargo run -p datadog-metrics --example metrics_alone`.

#![expect(clippy::print_stdout, reason = "it shows something")]

use std::error::Error;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_metrics::Metrics;

fn main() -> Result<(), Box<dyn Error>> {
    let agent = LocalAgent::start()?;
    let config = DDConfig::builder()
        .service("kitchen")
        .dogstatsd_url(agent.dogstatsd_url())
        .build()?;
    let metrics = Metrics::start(&config)?;

    let plates = metrics.counter("plates.washed", [("kind", "dinner")]);
    for guests in 1..=4 {
        plates.increment(3);
        metrics.gauge("guests", f64::from(guests), ());
        metrics.measure_fn("soup.ladled", ["course:first"], || {
            std::hint::black_box(guests)
        });
    }

    let report = metrics.flush(Duration::from_secs(5));
    agent.wait_for(Duration::from_secs(5), |got| got.metrics().len() >= 3)?;
    println!("{report}\n\n{}", agent.report());
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
