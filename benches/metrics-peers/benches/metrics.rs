//! What one call costs the caller: this client beside its peers, over UDP to a socket that nobody reads.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use std::hint::black_box;
use std::net::UdpSocket;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use cadence::prelude::*;
use cadence::{BufferedUdpMetricSink, QueuingMetricSink, StatsdClient};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use datadog_config::DDConfig;
use datadog_metrics::Metrics;
use datadog_transport::Standalone;
use dogstatsd::{BatchingOptions, Client, OptionsBuilder};
use libdd_common::tag::Tag;
use libdd_dogstatsd_client::{DogStatsDAction, DogStatsDClient};
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_dogstatsd::{DogStatsDBuilder, DogStatsDRecorder};

const NAME: &str = "bench.requests";
const TAGS: [(&str, &str); 3] = [("route", "/cart"), ("method", "get"), ("status", "200")];
const TAG_TEXTS: [&str; 3] = ["route:/cart", "method:get", "status:200"];
const METADATA: Metadata<'static> = Metadata::new("bench", Level::INFO, None);

/// A server that never reads: the kernel drops what does not fit, which costs the senders the same.
fn server() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn ours(address: &str) -> Standalone<Metrics> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("bench")
        .dogstatsd_url(format!("udp://{address}"))
        .build()
        .unwrap();
    Metrics::start(&config).unwrap()
}

fn dogstatsd(address: &str, batching: bool) -> Client {
    let mut options = OptionsBuilder::new();
    options.to_addr(address.to_owned());
    if batching {
        options.batching_options(BatchingOptions {
            max_buffer_size: 1432,
            max_time: Duration::from_millis(100),
            max_retry_attempts: 3,
            initial_retry_delay: 10,
        });
    }
    Client::new(options.build()).unwrap()
}

fn cadence(address: &str, queued: bool) -> StatsdClient {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let buffered = BufferedUdpMetricSink::with_capacity(address, socket, 1432).unwrap();
    if queued {
        // Bounded, because an unbounded queue would take all memory in a bench.
        StatsdClient::from_sink("", QueuingMetricSink::with_capacity(buffered, 128 * 1024))
    } else {
        StatsdClient::from_sink("", buffered)
    }
}

fn exporter(address: &str) -> DogStatsDRecorder {
    DogStatsDBuilder::default()
        .with_remote_address(address)
        .unwrap()
        .build()
        .unwrap()
}

fn libdd(address: &str) -> DogStatsDClient {
    let url = format!("udp://{address}").parse().unwrap();
    DogStatsDClient::new(libdd_common::Endpoint::from_url(url)).unwrap()
}

/// Measures `call` on one thread and on four at once. With four, the figure is the time of one core for one call.
fn on_one_and_four(group: &mut BenchmarkGroup<'_, WallTime>, client: &str, call: impl Fn() + Sync) {
    group.bench_function(format!("{client}/1 thread"), |bencher| bencher.iter(&call));
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
                        barrier.wait();
                        (0..calls).for_each(|_| call());
                    });
                }
                barrier.wait();
                Instant::now()
            });
            start.elapsed() * cores / threads as u32
        });
    });
}

/// A kept handle.
fn handles(criterion: &mut Criterion) {
    let (_socket, address) = server();
    let metrics = ours(&address);
    let exporter = exporter(&address);

    let mut group = criterion.benchmark_group("metrics/counter handle");
    let counter = metrics.counter(NAME, TAGS);
    on_one_and_four(&mut group, "datadog-metrics", || {
        counter.increment(black_box(1))
    });
    let counter = exporter.register_counter(&key(), &METADATA);
    on_one_and_four(&mut group, "metrics-exporter-dogstatsd", || {
        counter.increment(black_box(1));
    });
    group.finish();

    let mut group = criterion.benchmark_group("metrics/gauge handle");
    let gauge = metrics.gauge_handle(NAME, TAGS);
    on_one_and_four(&mut group, "datadog-metrics", || gauge.set(black_box(1.5)));
    let gauge = exporter.register_gauge(&key(), &METADATA);
    on_one_and_four(&mut group, "metrics-exporter-dogstatsd", || {
        gauge.set(black_box(1.5))
    });
    group.finish();

    let mut group = criterion.benchmark_group("metrics/distribution handle");
    let distribution = metrics.distribution_handle(NAME, TAGS);
    on_one_and_four(&mut group, "datadog-metrics", || {
        distribution.record(black_box(1.5))
    });
    let histogram = exporter.register_histogram(&key(), &METADATA);
    on_one_and_four(&mut group, "metrics-exporter-dogstatsd", || {
        histogram.record(black_box(1.5));
    });
    group.finish();
}

/// A count by a name and three tags that are known at run time only.
fn by_name(criterion: &mut Criterion) {
    let (_socket, address) = server();
    let mut group = criterion.benchmark_group("metrics/count by name and 3 tags");

    let metrics = ours(&address);
    on_one_and_four(&mut group, "datadog-metrics", || {
        metrics.count(black_box(NAME), 1, black_box(&TAGS));
    });
    drop(metrics);
    let recorder = exporter(&address);
    on_one_and_four(&mut group, "metrics-exporter-dogstatsd", || {
        recorder
            .register_counter(&black_box(key()), &METADATA)
            .increment(1);
    });
    drop(recorder);
    for (name, batching) in [("dogstatsd", false), ("dogstatsd batching", true)] {
        let client = dogstatsd(&address, batching);
        on_one_and_four(&mut group, name, || {
            let _ = client.count(black_box(NAME), 1, black_box(&TAG_TEXTS));
        });
    }
    for (name, queued) in [("cadence buffered", false), ("cadence queued", true)] {
        let client = cadence(&address, queued);
        on_one_and_four(&mut group, name, || {
            let mut line = client.count_with_tags(black_box(NAME), 1);
            for (key, value) in black_box(&TAGS) {
                line = line.with_tag(key, value);
            }
            let _ = line.try_send();
        });
    }
    let client = libdd(&address);
    let tags: Vec<Tag> = TAGS
        .iter()
        .map(|(key, value)| Tag::new(key, value).unwrap())
        .collect();
    on_one_and_four(&mut group, "libdd-dogstatsd-client", || {
        client.send(vec![DogStatsDAction::Count(
            black_box(NAME),
            1,
            black_box(&tags),
        )]);
    });
    group.finish();
}

/// The first value of a context that nobody has seen.
fn first_sight(criterion: &mut Criterion) {
    let (_socket, address) = server();
    // Fewer than a client's limit of contexts, beyond which it would be cheaper.
    let values: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    criterion.bench_function(
        "metrics/first sight of a context/datadog-metrics",
        |bencher| {
            bencher.iter_custom(|calls| {
                let mut total = Duration::ZERO;
                let mut left = calls as usize;
                while left > 0 {
                    let metrics = ours(&address);
                    let batch = &values[..left.min(values.len())];
                    let start = Instant::now();
                    for value in batch {
                        metrics.count(NAME, 1, [("number", value.as_str())]);
                    }
                    total += start.elapsed();
                    left -= batch.len();
                }
                total
            });
        },
    );
}

fn key() -> Key {
    let labels: Vec<Label> = TAGS
        .iter()
        .map(|(key, value)| Label::new(key.to_string(), value.to_string()))
        .collect();
    Key::from_parts(NAME.to_owned(), labels)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = handles, by_name, first_sight
}
criterion_main!(benches);
