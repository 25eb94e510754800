//! What a span of the `tracing` crate costs the thread that makes it, from its start to its end, in its CPU time while the
//! processor is not disturbed, by who collects it.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a bench ends at the first surprise, and tells what was lost"
)]

mod sink;

use std::cell::Cell;
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

/// The traces that are measured at a time.
const TRACES: u64 = 25;

/// How often that is before the client may send them, which is not measured: so many fit into every buffer.
const BOUTS: u64 = 8;

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
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(300));
    bench(&mut group, "datadog", &datadog, &|| {
        client.flush(Duration::from_secs(5));
    });
    bench(
        &mut group,
        "datadog-opentelemetry by tracing-opentelemetry",
        &opentelemetry,
        &|| _ = provider.force_flush(),
    );
    // It can't be asked to send.
    bench(&mut group, "tracing-datadog", &tracing_datadog, &|| ());
    bench(
        &mut group,
        "nobody: tracing-subscriber's registry alone",
        &registry,
        &|| (),
    );
    group.finish();
    eprintln!("{}", client.health());
    // What waits is of no interest, and takes its time.
    let _ = provider.shutdown_with_timeout(Duration::from_secs(1));
}

/// The CPU time per span. `flush` makes room before a client's buffer is full.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    subscriber: &Dispatch,
    flush: &dyn Fn(),
) {
    let waiting = Cell::new(0);
    let make_room = || {
        if waiting.replace(waiting.get() + 1) == BOUTS {
            flush();
            waiting.set(1);
        }
    };
    let measure = |()| {
        let start = ThreadTime::now();
        (0..TRACES).for_each(trace);
        start.elapsed()
    };
    group.bench_function(name, |b| {
        b.iter_custom(|spans| {
            let bouts = spans.div_ceil(TRACES * SPANS);
            let taken: Duration = tracing::dispatcher::with_default(subscriber, || {
                let taken = (0..bouts).map(|_| undisturbed::measured(make_room, measure));
                taken.sum()
            });
            taken.mul_f64(spans as f64 / (bouts * TRACES * SPANS) as f64)
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
