//! What one call of the `metrics` crate costs the caller, with this client's recorder and with metrics-exporter-dogstatsd, over UDP to
//! a socket that nobody reads.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use std::hint::black_box;
use std::net::UdpSocket;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use datadog_config::DDConfig;
use datadog_metrics::Metrics;
use metrics::{Recorder, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_dogstatsd::DogStatsDBuilder;

type Client<'a> = (&'a str, &'a (dyn Recorder + Sync));

/// Measures a call with each recorder, on one thread and on four at once. With four, the figure is the time of one core for
/// one call. `make` is called with the recorder in place.
fn with_each<F: Fn() + Sync>(
    criterion: &mut Criterion,
    name: &str,
    clients: &[Client<'_>],
    make: impl Fn() -> F,
) {
    let mut group = criterion.benchmark_group(format!("metrics/recorder, {name}"));
    for (client, recorder) in clients {
        let call = with_local_recorder(recorder, &make);
        group.bench_function(format!("{client}/1 thread"), |bencher| {
            with_local_recorder(recorder, || bencher.iter(&call));
        });
        let threads = 4;
        let cores = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(threads) as u32;
        group.bench_function(format!("{client}/4 threads"), |bencher| {
            bencher.iter_custom(|calls| {
                let barrier = Barrier::new(threads + 1);
                let start = thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            with_local_recorder(recorder, || {
                                barrier.wait();
                                (0..calls).for_each(|_| call());
                            });
                        });
                    }
                    barrier.wait();
                    Instant::now()
                });
                start.elapsed() * cores / threads as u32
            });
        });
    }
    group.finish();
}

fn recorders(criterion: &mut Criterion) {
    // A server that never reads: the kernel drops what does not fit, which costs the senders the same.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("bench")
        .dogstatsd_url(format!("udp://{address}"))
        .build()
        .unwrap();
    let metrics = Metrics::start(&config).unwrap();
    let ours = metrics.recorder();
    let exporter = DogStatsDBuilder::default()
        .with_remote_address(&address)
        .unwrap()
        .build()
        .unwrap();
    let clients: [Client<'_>; 2] = [
        ("datadog-metrics", &ours),
        ("metrics-exporter-dogstatsd", &exporter),
    ];

    with_each(criterion, "counter! with literal labels", &clients, || {
        || {
            counter!("bench.requests", "route" => "/cart", "method" => "get", "status" => "200")
                .increment(black_box(1));
        }
    });
    with_each(criterion, "counter! with run-time labels", &clients, || {
        || {
            let [route, method, status] = black_box(["/cart", "get", "200"]).map(String::from);
            counter!("bench.requests", "route" => route, "method" => method, "status" => status)
                .increment(black_box(1));
        }
    });
    with_each(
        criterion,
        "histogram! with literal labels",
        &clients,
        || {
            || {
                histogram!("bench.seconds", "route" => "/cart", "method" => "get", "status" => "200")
                .record(black_box(1.5));
            }
        },
    );
    with_each(criterion, "kept counter", &clients, || {
        let counter = counter!("bench.requests", "route" => "/cart");
        move || counter.increment(black_box(1))
    });
    with_each(criterion, "kept gauge", &clients, || {
        let gauge = gauge!("bench.depth", "route" => "/cart");
        move || gauge.set(black_box(1.5))
    });
    with_each(criterion, "kept histogram", &clients, || {
        let histogram = histogram!("bench.seconds", "route" => "/cart");
        move || histogram.record(black_box(1.5))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = recorders
}
criterion_main!(benches);
