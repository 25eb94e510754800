//! What spans cost on the caller's thread, in its CPU time: `cargo bench -p datadog-trace`.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use datadog_config::DDConfig;
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
}

impl Bench {
    fn start() -> Self {
        Self::of(LocalAgent::start().expect("an agent starts"))
    }

    fn of(agent: LocalAgent) -> Self {
        let tracer = Tracer::start(&config(&agent.url(), true)).expect("a worker starts");
        // It knows then what the agent can do.
        tracer.flush(Duration::from_secs(5));
        Self { agent, tracer }
    }

    /// CPU time of `rounds` spans in traces of [`SPANS`], with what `each` measures of each trace.
    fn paced(&self, rounds: u64, each: impl Fn() -> Duration) -> Duration {
        let traces = rounds.div_ceil(SPANS);
        let mut taken = Duration::ZERO;
        for trace in 0..traces {
            taken += each();
            if trace % TRACES == TRACES - 1 {
                self.clear();
            }
        }
        taken.mul_f64(rounds as f64 / (traces * SPANS) as f64)
    }

    fn clear(&self) {
        self.tracer.flush(Duration::from_secs(5));
        self.agent.clear();
    }

    fn child(&self) {
        let mut span = self.tracer.trace("child");
        span.set_tag("http.route", "/cart").set_tag("items", 3);
        black_box(&mut span);
    }

    /// A trace in which only the children are measured.
    fn children(&self) -> Duration {
        let root = self.tracer.trace("root");
        let start = ThreadTime::now();
        (0..SPANS).for_each(|_| self.child());
        let taken = start.elapsed();
        root.finish();
        taken
    }

    /// [`Bench::children`] on several threads at once: the CPU time of all.
    fn children_on_threads(&self, rounds: u64) -> Duration {
        let bouts = rounds.div_ceil(TRACES * SPANS);
        let together = Barrier::new(THREADS as usize);
        let each = || {
            // The memory of its first spans is the thread's start.
            self.children();
            let mut taken = Duration::ZERO;
            for _ in 0..bouts {
                together.wait();
                let traces = (0..TRACES / THREADS).map(|_| self.children());
                taken += traces.sum::<Duration>();
                if together.wait().is_leader() {
                    self.clear();
                }
            }
            taken
        };
        let taken: Duration = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(each)).collect();
            let taken = threads.into_iter().map(thread::ScopedJoinHandle::join);
            taken.map(|taken| taken.expect("no thread fails")).sum()
        });
        taken.mul_f64(rounds as f64 / (bouts * TRACES * SPANS) as f64)
    }
}

/// A row of the table.
fn row(criterion: &mut Criterion, work: &str, measure: impl FnMut(&mut Bencher<'_>)) {
    let mut group = criterion.benchmark_group(work);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .bench_function("datadog", measure);
    group.finish();
}

/// CPU time of `work`, over and over.
fn repeated(rounds: u64, mut work: impl FnMut()) -> Duration {
    let start = ThreadTime::now();
    (0..rounds).for_each(|_| work());
    start.elapsed()
}

fn spans(criterion: &mut Criterion) {
    let bench = Bench::start();
    row(criterion, "child span with two tags, kept", |bencher| {
        bencher.iter_custom(|rounds| bench.paced(rounds, || bench.children()));
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
                    (1..SPANS).for_each(|_| bench.child());
                    root.finish();
                    start.elapsed()
                })
            });
        },
    );
    let off = Tracer::start(&config(&bench.agent.url(), false)).expect("a worker starts");
    row(criterion, "span with two tags, tracing off", |bencher| {
        bencher.iter_custom(|rounds| {
            repeated(rounds, || {
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
                (0..SPANS).for_each(|_| bench.child());
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
                repeated(rounds, || {
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
                repeated(rounds, || {
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
    /// Spans of a payload: about as many as the worker encodes at a time.
    const PAYLOAD: u64 = 10_000;
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
    let mut payload = || encoding.v04(PAYLOAD / SPANS);
    let bytes = payload() as u64;
    let mut group = criterion.benchmark_group("encode v0.4: a span with 10 tags");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .throughput(Throughput::Bytes(bytes / PAYLOAD))
        .bench_function("datadog", |bencher| {
            bencher.iter_custom(|rounds| {
                let payloads = rounds.div_ceil(PAYLOAD);
                let taken = repeated(payloads, || {
                    black_box(payload());
                });
                taken.mul_f64(rounds as f64 / (payloads * PAYLOAD) as f64)
            });
        });
    group.finish();
}

/// To know the machine by, and what measuring adds.
fn clocks(criterion: &mut Criterion) {
    row(criterion, "the system's clock, twice", |bencher| {
        bencher.iter_custom(|rounds| {
            repeated(rounds, || {
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
                let taken = repeated(reads, || {
                    black_box(ThreadTime::now());
                });
                taken.mul_f64(rounds as f64 / (reads * SPANS) as f64)
            });
        },
    );
}

criterion_group!(benches, spans, headers, encode, clocks);
criterion_main!(benches);
