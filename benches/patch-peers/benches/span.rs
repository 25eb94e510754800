//! What a span of the `tracing` crate costs the thread that makes it, from its start to its end, in its CPU time, by who
//! collects it.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a bench ends at the first surprise, and tells what was lost"
)]

mod sink;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::ThreadTime;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use datadog::{DDClient, DDConfig};
use datadog_opentelemetry::configuration::Config;
use opentelemetry::trace::TracerProvider;
use tracing::{Dispatch, info_span};
use tracing_datadog::DatadogTraceLayer;
use tracing_subscriber::layer::SubscriberExt;

/// The spans of a trace, with the first one.
const SPANS: u64 = 10;

fn spans(c: &mut Criterion) {
    let agent = sink::start();

    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(&*agent)
        .service("shop");
    let client = DDClient::new(config.build().unwrap()).unwrap();
    let layer = client.tracing_layer();
    let datadog = Dispatch::new(tracing_subscriber::registry().with(layer));

    let mut config = Config::builder();
    config
        .set_service("shop".to_owned())
        .set_trace_agent_url(agent.clone())
        .set_telemetry_enabled(false)
        .set_remote_config_enabled(false);
    let (provider, _) = datadog_opentelemetry::tracing()
        .with_config(config.build())
        .init_local();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
    let opentelemetry = Dispatch::new(tracing_subscriber::registry().with(layer));

    let layer = DatadogTraceLayer::builder()
        .service("shop")
        .env("prod")
        .version("1")
        .agent_address(agent.trim_start_matches("http://"))
        .build()
        .unwrap();
    let tracing_datadog = Dispatch::new(tracing_subscriber::registry().with(layer));

    let registry = Dispatch::new(tracing_subscriber::registry());

    let mut group = c.benchmark_group("tracing span, 3 fields, in traces of 10");
    for (name, subscriber) in [
        ("datadog", &datadog),
        (
            "datadog-opentelemetry by tracing-opentelemetry",
            &opentelemetry,
        ),
        ("tracing-datadog", &tracing_datadog),
        ("nobody: tracing-subscriber's registry alone", &registry),
    ] {
        bench(&mut group, name, subscriber);
    }
    group.finish();
    eprintln!("{}", client.health());
    // What waits is of no interest, and takes its time.
    let _ = provider.shutdown_with_timeout(Duration::from_secs(1));
}

/// The CPU time per span. The clients' own threads are as busy here, and take turns with this one.
fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, subscriber: &Dispatch) {
    group.bench_function(name, |b| {
        b.iter_custom(|spans| {
            let traces = spans.div_ceil(SPANS);
            let elapsed = tracing::dispatcher::with_default(subscriber, || {
                let start = ThreadTime::now();
                (0..traces).for_each(trace);
                start.elapsed()
            });
            elapsed.mul_f64(spans as f64 / (traces * SPANS) as f64)
        });
    });
}

fn trace(number: u64) {
    let _root = info_span!(
        "order",
        number = black_box(number),
        kind = black_box("express"),
        ok = black_box(true)
    )
    .entered();
    for step in 1..SPANS {
        let _step = info_span!(
            "step",
            number = black_box(step),
            kind = black_box("express"),
            ok = black_box(true)
        )
        .entered();
    }
}

criterion_group!(benches, spans);
criterion_main!(benches);
