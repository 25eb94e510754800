//! Traces alone, without the `datadog` facade, sent to a receiver inside this program that shows what arrived:
//! `cargo run -p datadog-trace --example trace_alone`.

#![expect(clippy::print_stdout, reason = "it shows something")]

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_trace::Tracer;

fn main() -> Result<(), Box<dyn Error>> {
    let agent = LocalAgent::start()?;
    let config = DDConfig::builder()
        .service("kitchen")
        .agent_url(agent.url())
        .build()?;
    let tracer = Tracer::start(&config)?;

    let mut meal = tracer.trace("meal.prepare");
    meal.set_resource("pancakes").set_tag("guests", 4);
    tracer.traced("dough.stir", |span| {
        span.set_tag("eggs", 3);
        sleep(Duration::from_millis(5));
    });
    tracer.traced("pan.heat", |span| {
        span.set_error(&std::io::Error::other("no gas"));
    });
    drop(meal);

    let report = tracer.flush(Duration::from_secs(5));
    println!("{report}\n\n{}", agent.report());
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
