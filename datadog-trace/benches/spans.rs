//! What spans cost on the caller's thread, in its CPU time while the processor is not disturbed: `cargo bench -p
//! datadog-trace`.

use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use datadog_config::{DDConfig, TraceProtocol};
use datadog_local_agent::LocalAgent;
use datadog_trace::__private::Encoding;
use datadog_trace::{Extract, Inject, SpanContext, Tracer};
use datadog_transport::Standalone;

/// Spans of one trace.
const SPANS: u64 = 250;

/// Traces between two flushes, which are not measured: so many fit into the queue.
const TRACES: u64 = 20;

const THREADS: u64 = 4;

fn config(url: &str, enabled: bool) -> DDConfig {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(url)
        .service("bench")
        .tracing_enabled(enabled)
        .build();
    config.expect("the config is right")
}

/// A tracer and its agent.
struct Bench {
    agent: LocalAgent,
    tracer: Standalone<Tracer>,
    /// How many traces wait.
    waiting: Cell<u64>,
}

impl Bench {
    fn start() -> Self {
        Self::of(LocalAgent::start().expect("an agent starts"))
    }

    fn of(agent: LocalAgent) -> Self {
        let tracer = Tracer::start(&config(&agent.url(), true)).expect("a worker starts");
        // It knows then what the agent can do.
        tracer.flush(Duration::from_secs(5));
        Self {
            agent,
            tracer,
            waiting: Cell::new(0),
        }
    }

    /// CPU time of `rounds` spans in traces of [`SPANS`], with what `each` measures of each trace.
    fn paced(&self, rounds: u64, each: impl Fn() -> Duration) -> Duration {
        let traces = rounds.div_ceil(SPANS);
        let make_room = || {
            if self.waiting.replace(self.waiting.get() + 1) == TRACES {
                clear(&self.tracer, &self.agent);
                self.waiting.set(1);
            }
        };
        let taken = (0..traces).map(|_| undisturbed::measured(make_room, |()| each()));
        taken
            .sum::<Duration>()
            .mul_f64(rounds as f64 / (traces * SPANS) as f64)
    }

    /// [`children`] on several threads at once: the CPU time of all.
    fn children_on_threads(&self, rounds: u64) -> Duration {
        let (tracer, agent) = (&self.tracer, &self.agent);
        let wanted = rounds.div_ceil(SPANS);
        let together = Barrier::new(THREADS as usize);
        // The traces that were not disturbed, and what they took.
        let (counted, nanos) = (AtomicU64::new(0), AtomicU64::new(0));
        let each = || {
            // The memory of its first spans is the thread's start.
            children(tracer);
            loop {
                together.wait();
                if counted.load(Ordering::Relaxed) >= wanted {
                    break;
                }
                together.wait();
                for _ in 0..TRACES / THREADS {
                    let (taken, is_calm) = undisturbed::watched(|| children(tracer));
                    if is_calm {
                        counted.fetch_add(1, Ordering::Relaxed);
                        nanos.fetch_add(taken.as_nanos() as u64, Ordering::Relaxed);
                    }
                }
                if together.wait().is_leader() {
                    clear(tracer, agent);
                }
            }
        };
        thread::scope(|scope| (0..THREADS).for_each(|_| _ = scope.spawn(each)));
        let counted = counted.into_inner() * SPANS;
        Duration::from_nanos(nanos.into_inner()).mul_f64(rounds as f64 / counted as f64)
    }
}

/// A trace in which only the children are measured.
fn children(tracer: &Tracer) -> Duration {
    let root = tracer.trace("root");
    let start = ThreadTime::now();
    (0..SPANS).for_each(|_| child(tracer));
    let taken = start.elapsed();
    root.finish();
    taken
}

fn child(tracer: &Tracer) {
    let mut span = tracer.trace("child");
    span.set_tag("http.route", "/cart").set_tag("items", 3);
    black_box(&mut span);
}

fn clear(tracer: &Standalone<Tracer>, agent: &LocalAgent) {
    tracer.flush(Duration::from_secs(5));
    agent.clear();
}

/// A row of the table.
fn row(criterion: &mut Criterion, work: &str, measure: impl FnMut(&mut Bencher<'_>)) {
    let mut group = criterion.benchmark_group(work);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(300))
        .bench_function("datadog", measure);
    group.finish();
}

/// CPU time of `work`, so many times at a time, which is to take some ten microseconds at least.
fn repeated(rounds: u64, at_a_time: u64, mut work: impl FnMut()) -> Duration {
    let times = rounds.div_ceil(at_a_time);
    let mut measure = |()| {
        let start = ThreadTime::now();
        (0..at_a_time).for_each(|_| work());
        start.elapsed()
    };
    let taken = (0..times).map(|_| undisturbed::measured(|| (), &mut measure));
    taken
        .sum::<Duration>()
        .mul_f64(rounds as f64 / (times * at_a_time) as f64)
}

fn spans(criterion: &mut Criterion) {
    let bench = Bench::start();
    row(criterion, "child span with two tags, kept", |bencher| {
        bencher.iter_custom(|rounds| bench.paced(rounds, || children(&bench.tracer)));
    });
    row(
        criterion,
        "child span with two tags, kept: four threads, a span and core",
        |bencher| bencher.iter_custom(|rounds| bench.children_on_threads(rounds)),
    );
    not_kept(criterion);
    row(criterion, "child span without tags, kept", |bencher| {
        bencher.iter_custom(|rounds| {
            bench.paced(rounds, || {
                let root = bench.tracer.trace("root");
                let start = ThreadTime::now();
                (0..SPANS).for_each(|_| black_box(bench.tracer.trace("child")).finish());
                let taken = start.elapsed();
                root.finish();
                taken
            })
        });
    });
    row(
        criterion,
        "a span of a trace of 250, with the root",
        |bencher| {
            bencher.iter_custom(|rounds| {
                bench.paced(rounds, || {
                    let start = ThreadTime::now();
                    let root = bench.tracer.trace("root");
                    (1..SPANS).for_each(|_| child(&bench.tracer));
                    root.finish();
                    start.elapsed()
                })
            });
        },
    );
    let off = Tracer::start(&config(&bench.agent.url(), false)).expect("a worker starts");
    row(criterion, "span with two tags, tracing off", |bencher| {
        bencher.iter_custom(|rounds| {
            repeated(rounds, 20_000, || {
                let mut span = black_box(&off).trace("child");
                span.set_tag("http.route", "/cart").set_tag("items", 3);
                black_box(&mut span);
            })
        });
    });
}

/// As with today's agents, which leave statistics, and traces that are not kept, to the client.
fn not_kept(criterion: &mut Criterion) {
    let agent = LocalAgent::start().expect("an agent starts");
    agent.set_info([("client_drop_p0s", true.into())]);
    let bench = Bench::of(agent);
    let elsewhere = SpanContext::from_ids(7, 5, Some(false));
    row(criterion, "child span with two tags, not kept", |bencher| {
        bencher.iter_custom(|rounds| {
            bench.paced(rounds, || {
                let root = bench.tracer.trace_from(&elsewhere, "root");
                let start = ThreadTime::now();
                (0..SPANS).for_each(|_| child(&bench.tracer));
                let taken = start.elapsed();
                root.finish();
                taken
            })
        });
    });
}

fn headers(criterion: &mut Criterion) {
    let bench = Bench::start();
    row(
        criterion,
        "inject and extract: datadog, tracecontext, baggage",
        |bencher| {
            let mut root = bench.tracer.trace("root");
            root.set_baggage("user.id", "7");
            let mut headers: HashMap<String, String> = HashMap::new();
            bencher.iter_custom(|rounds| {
                repeated(rounds, 100, || {
                    bench.tracer.inject(&mut headers);
                    black_box(bench.tracer.extract(&headers));
                })
            });
        },
    );
    // What of it is the map's: two scans for names, one of them in any case.
    row(
        criterion,
        "inject and extract: the map's part of it",
        |bencher| {
            let written = [
                "x-datadog-trace-id",
                "x-datadog-parent-id",
                "x-datadog-sampling-priority",
                "x-datadog-tags",
                "traceparent",
                "tracestate",
                "baggage",
            ];
            let set = written.map(|name| (name, "0123456789abcdef0123456789abcdef"));
            let mut headers: HashMap<String, String> = HashMap::new();
            bencher.iter_custom(|rounds| {
                repeated(rounds, 500, || {
                    headers.set_all(&set);
                    headers.find(&written, |at, value| {
                        black_box((at, value));
                    });
                })
            });
        },
    );
}

fn encode(criterion: &mut Criterion) {
    /// Spans of a payload.
    const PAYLOAD: u64 = 2_500;
    let tags = [
        ("http.method", "GET"),
        ("http.route", "/cart/{id}"),
        ("http.url", "http://shop.example/cart/17"),
        ("http.status_code", "200 OK"),
        ("http.useragent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("component", "axum"),
        ("span.kind", "server"),
        ("network.client.ip", "10.17.0.12"),
        ("items", "3"),
        ("cart.total", "17.5"),
    ];
    let mut encoding = Encoding::new(&config("http://localhost:1", true), SPANS, &tags);
    for (version, protocol) in [("0.4", TraceProtocol::V04), ("1.0", TraceProtocol::V10)] {
        let mut payload = || encoding.payload(protocol, PAYLOAD / SPANS);
        let bytes = payload() as u64;
        let work = format!("encode v{version}: a span with 10 tags");
        let mut group = criterion.benchmark_group(work);
        group
            .sample_size(20)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_millis(300))
            .throughput(Throughput::Bytes(bytes / PAYLOAD))
            .bench_function("datadog", |bencher| {
                bencher.iter_custom(|rounds| {
                    let payloads = rounds.div_ceil(PAYLOAD);
                    let taken = repeated(payloads, 1, || {
                        black_box(payload());
                    });
                    taken.mul_f64(rounds as f64 / (payloads * PAYLOAD) as f64)
                });
            });
        group.finish();
    }
}

/// To know the machine by, and what measuring adds.
fn clocks(criterion: &mut Criterion) {
    row(criterion, "the system's clock, twice", |bencher| {
        bencher.iter_custom(|rounds| {
            repeated(rounds, 1000, || {
                black_box((Instant::now(), Instant::now()));
            })
        });
    });
    row(
        criterion,
        "a 250th of reading the thread's CPU time",
        |bencher| {
            bencher.iter_custom(|rounds| {
                let reads = rounds.div_ceil(SPANS);
                let taken = repeated(reads, 100, || {
                    black_box(ThreadTime::now());
                });
                taken.mul_f64(rounds as f64 / (reads * SPANS) as f64)
            });
        },
    );
}

criterion_group!(benches, spans, headers, encode, clocks);
criterion_main!(benches);
