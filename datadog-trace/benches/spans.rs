//! What spans cost on the caller's thread, in its CPU time: `cargo bench -p datadog-trace`.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use criterion::{Criterion, criterion_group, criterion_main};
use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_trace::{Extract, Inject, SpanContext, Tracer};
use datadog_transport::Standalone;

/// Spans of one trace.
const SPANS: u64 = 100;

/// Traces between two flushes, which are not measured: so many fit into the queue.
const TRACES: u64 = 20;

fn tracer(agent: &LocalAgent, enabled: bool) -> Standalone<Tracer> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .service("bench")
        .tracing_enabled(enabled)
        .build();
    config
        .map(|config| Tracer::start(&config))
        .expect("the config is right")
        .expect("a worker starts")
}

/// CPU time of `rounds` children in traces of [`SPANS`], with what `each` measures of each trace.
fn paced(
    tracer: &Standalone<Tracer>,
    agent: &LocalAgent,
    rounds: u64,
    each: impl Fn() -> Duration,
) -> Duration {
    let traces = rounds.div_ceil(SPANS);
    let mut taken = Duration::ZERO;
    for trace in 0..traces {
        taken += each();
        if trace % TRACES == TRACES - 1 {
            tracer.flush(Duration::from_secs(5));
            agent.clear();
        }
    }
    taken.mul_f64(rounds as f64 / (traces * SPANS) as f64)
}

fn spans(criterion: &mut Criterion) {
    let agent = LocalAgent::start().expect("an agent starts");
    let on = tracer(&agent, true);
    let off = tracer(&agent, false);
    let mut group = criterion.benchmark_group("span");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));

    group.bench_function("child, two tags", |bencher| {
        bencher.iter_custom(|rounds| {
            paced(&on, &agent, rounds, || {
                let root = on.trace("root");
                let start = ThreadTime::now();
                for _ in 0..SPANS {
                    let mut span = on.trace("child");
                    span.set_tag("http.route", "/cart").set_tag("items", 3);
                    black_box(&mut span);
                }
                let taken = start.elapsed();
                root.finish();
                taken
            })
        });
    });
    group.bench_function("child alone", |bencher| {
        bencher.iter_custom(|rounds| {
            paced(&on, &agent, rounds, || {
                let root = on.trace("root");
                let start = ThreadTime::now();
                for _ in 0..SPANS {
                    black_box(on.trace("child")).finish();
                }
                let taken = start.elapsed();
                root.finish();
                taken
            })
        });
    });
    group.bench_function("a hundredth of a trace of 100", |bencher| {
        bencher.iter_custom(|rounds| {
            paced(&on, &agent, rounds, || {
                let start = ThreadTime::now();
                let root = on.trace("root");
                for _ in 1..SPANS {
                    let mut span = on.trace("child");
                    span.set_tag("http.route", "/cart").set_tag("items", 3);
                    black_box(&mut span);
                }
                root.finish();
                start.elapsed()
            })
        });
    });
    group.bench_function(
        "a hundredth of a trace of 100 that is not kept",
        |bencher| {
            let not_kept = SpanContext::from_ids(7, 5, Some(false));
            bencher.iter_custom(|rounds| {
                paced(&on, &agent, rounds, || {
                    let start = ThreadTime::now();
                    let root = on.trace_from(&not_kept, "root");
                    for _ in 1..SPANS {
                        let mut span = on.trace("child");
                        span.set_tag("http.route", "/cart").set_tag("items", 3);
                        black_box(&mut span);
                    }
                    root.finish();
                    start.elapsed()
                })
            });
        },
    );
    // What of `inject and extract` is the map's: its hashes, and its scan for names in any case.
    group.bench_function(
        "the headers of inject and extract, in and out of a map",
        |bencher| {
            let root = on.trace("root");
            let mut headers: HashMap<String, String> = HashMap::new();
            on.inject(&mut headers);
            root.finish();
            let written = [
                "x-datadog-trace-id",
                "x-datadog-parent-id",
                "x-datadog-sampling-priority",
                "x-datadog-tags",
                "traceparent",
                "tracestate",
                "baggage",
            ];
            bencher.iter_custom(|rounds| {
                let start = ThreadTime::now();
                for _ in 0..rounds {
                    for name in written {
                        Inject::set(&mut headers, name, "0123456789abcdef0123456789abcdef");
                    }
                    for name in written.into_iter().chain(["x-datadog-origin"]) {
                        black_box(Extract::value(&headers, name));
                    }
                }
                start.elapsed()
            });
        },
    );
    group.bench_function("tracing off", |bencher| {
        bencher.iter_custom(|rounds| {
            let start = ThreadTime::now();
            for _ in 0..rounds {
                let mut span = black_box(&off).trace("child");
                span.set_tag("http.route", "/cart").set_tag("items", 3);
                black_box(&mut span);
            }
            start.elapsed()
        });
    });
    group.bench_function("inject and extract", |bencher| {
        let mut root = on.trace("root");
        root.set_baggage("user.id", "7");
        let mut headers: HashMap<String, String> = HashMap::new();
        bencher.iter_custom(|rounds| {
            let start = ThreadTime::now();
            for _ in 0..rounds {
                on.inject(&mut headers);
                black_box(on.extract(&headers));
            }
            start.elapsed()
        });
    });
    // To know the machine by, and its load.
    group.bench_function("the clock, twice", |bencher| {
        bencher.iter_custom(|rounds| {
            let start = ThreadTime::now();
            for _ in 0..rounds {
                black_box((Instant::now(), Instant::now()));
            }
            start.elapsed()
        });
    });
    // What the measuring itself adds to each span above.
    group.bench_function("a hundredth of reading the CPU time", |bencher| {
        bencher.iter_custom(|rounds| {
            let start = ThreadTime::now();
            for _ in 0..rounds.div_ceil(SPANS) {
                black_box(ThreadTime::now());
            }
            start.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, spans);
criterion_main!(benches);
