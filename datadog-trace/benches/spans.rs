//! What spans cost on the caller's thread: `cargo bench -p datadog-trace`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_trace::Tracer;
use datadog_transport::Standalone;

fn tracer(agent: &LocalAgent, enabled: bool) -> Standalone<Tracer> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .service("bench")
        .tracing_enabled(enabled)
        .partial_flush_enabled(true)
        .build();
    config
        .map(|config| Tracer::start(&config))
        .expect("the config is right")
        .expect("a worker starts")
}

fn spans(criterion: &mut Criterion) {
    let agent = LocalAgent::start().expect("an agent starts");
    let on = tracer(&agent, true);
    let off = tracer(&agent, false);
    let mut group = criterion.benchmark_group("span");
    group.measurement_time(Duration::from_secs(3));

    // In traces of 10, so that the agent and the queue keep up as in a program.
    group.bench_function("child, two tags", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds.div_ceil(100) {
                let root = on.trace("root");
                let start = std::time::Instant::now();
                for _ in 0..100 {
                    let mut span = on.trace("child");
                    span.set_tag("http.route", "/cart").set_tag("items", 3);
                    black_box(&mut span);
                }
                taken += start.elapsed();
                root.finish();
            }
            taken.mul_f64(rounds as f64 / (rounds.div_ceil(100) * 100) as f64)
        });
    });
    group.bench_function("child alone", |bencher| {
        let _root = on.trace("root");
        bencher.iter(|| black_box(on.trace("child")).finish());
    });
    group.bench_function("trace of one span", |bencher| {
        bencher.iter(|| black_box(on.trace("root")).finish());
    });
    group.bench_function("tracing off", |bencher| {
        bencher.iter(|| {
            let mut span = off.trace("child");
            span.set_tag("http.route", "/cart").set_tag("items", 3);
            black_box(&mut span);
        });
    });
    group.bench_function("the clock, twice", |bencher| {
        bencher.iter(|| (std::time::Instant::now(), std::time::Instant::now()));
    });
    group.finish();
    agent.clear();
}

criterion_group!(benches, spans);
criterion_main!(benches);
