//! What one call costs the caller: this client beside its peers, over UDP to a socket that nobody reads.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use std::hint::black_box;
use std::net::UdpSocket;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use cadence::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};
use libdd_common::tag::Tag;
use libdd_dogstatsd_client::DogStatsDAction;
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_peers::{Server, cadence, dogstatsd, exporter, libdd, ours};

const OURS: &str = "datadog";
const EXPORTER: &str = "metrics-exporter-dogstatsd";

const NAME: &str = "bench.requests";
const TAGS: [(&str, &str); 3] = [("route", "/cart"), ("method", "get"), ("status", "200")];
const TAG_TEXTS: [&str; 3] = ["route:/cart", "method:get", "status:200"];
const METADATA: Metadata<'static> = Metadata::new("bench", Level::INFO, None);

/// A server that never reads: the kernel drops what does not fit, which costs the senders the same.
fn server() -> (UdpSocket, Server) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, Server::Udp(address))
}

/// Measures `call` on one thread and on four at once. With four, the figure is the time of one core for one call.
fn on_one_and_four(criterion: &mut Criterion, work: &str, client: &str, call: impl Fn() + Sync) {
    let mut group = criterion.benchmark_group(format!("{work}, 1 thread"));
    group.bench_function(client, |bencher| bencher.iter(&call));
    group.finish();
    let threads = 4;
    let cores = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(threads) as u32;
    let mut group = criterion.benchmark_group(format!("{work}, {threads} threads"));
    group.bench_function(client, |bencher| {
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
    group.finish();
}

/// A kept handle.
fn handles(criterion: &mut Criterion) {
    let (_socket, server) = server();
    let metrics = ours(&server);
    let exporter = exporter(&server);

    let work = "counter handle";
    let counter = metrics.counter(NAME, TAGS);
    on_one_and_four(criterion, work, OURS, || counter.increment(black_box(1)));
    let counter = exporter.register_counter(&key(), &METADATA);
    on_one_and_four(criterion, work, EXPORTER, || {
        counter.increment(black_box(1));
    });

    let work = "gauge handle";
    let gauge = metrics.gauge_handle(NAME, TAGS);
    on_one_and_four(criterion, work, OURS, || gauge.set(black_box(1.5)));
    let gauge = exporter.register_gauge(&key(), &METADATA);
    on_one_and_four(criterion, work, EXPORTER, || gauge.set(black_box(1.5)));

    let work = "distribution handle";
    let distribution = metrics.distribution_handle(NAME, TAGS);
    on_one_and_four(criterion, work, OURS, || {
        distribution.record(black_box(1.5));
    });
    let histogram = exporter.register_histogram(&key(), &METADATA);
    on_one_and_four(criterion, work, EXPORTER, || {
        histogram.record(black_box(1.5));
    });

    let work = "counter handle at a rate of 1 %";
    let counter = metrics.sampled(0.01).counter(NAME, TAGS);
    on_one_and_four(criterion, work, OURS, || counter.increment(black_box(1)));
}

/// A count by a name and three tags that are known at run time only.
fn by_name(criterion: &mut Criterion) {
    let (_socket, server) = server();
    let work = "count by name and 3 tags";

    let metrics = ours(&server);
    on_one_and_four(criterion, work, OURS, || {
        metrics.count(black_box(NAME), 1, black_box(&TAGS));
    });
    drop(metrics);
    let recorder = exporter(&server);
    on_one_and_four(criterion, work, EXPORTER, || {
        recorder
            .register_counter(&black_box(key()), &METADATA)
            .increment(1);
    });
    drop(recorder);
    for (name, batching) in [("dogstatsd", false), ("dogstatsd batching", true)] {
        let client = dogstatsd(&server, batching);
        on_one_and_four(criterion, work, name, || {
            let _ = client.count(black_box(NAME), 1, black_box(&TAG_TEXTS));
        });
    }
    for (name, queued) in [("cadence buffered", false), ("cadence queued", true)] {
        let client = cadence(&server, queued);
        on_one_and_four(criterion, work, name, || {
            let mut line = client.count_with_tags(black_box(NAME), 1);
            for (key, value) in black_box(&TAGS) {
                line = line.with_tag(key, value);
            }
            let _ = line.try_send();
        });
    }
    let client = libdd(&server);
    let tags: Vec<Tag> = TAGS
        .iter()
        .map(|(key, value)| Tag::new(key, value).unwrap())
        .collect();
    on_one_and_four(criterion, work, "libdd-dogstatsd-client", || {
        client.send(vec![DogStatsDAction::Count(
            black_box(NAME),
            1,
            black_box(&tags),
        )]);
    });
}

/// The first value of a context that nobody has seen.
fn first_sight(criterion: &mut Criterion) {
    let (_socket, server) = server();
    // Fewer than a client's limit of contexts, beyond which it would be cheaper.
    let values: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let mut group = criterion.benchmark_group("first count of a context");
    group.bench_function(OURS, |bencher| {
        bencher.iter_custom(|calls| {
            let mut total = Duration::ZERO;
            let mut left = calls as usize;
            while left > 0 {
                let metrics = ours(&server);
                let batch = &values[..left.min(values.len())];
                // On a thread of its own, because a thread that has seen as much as it remembers forgets it all, and
                // that is not part of this work.
                total += on_a_thread(|| {
                    let start = Instant::now();
                    for value in batch {
                        metrics.count(NAME, 1, [("number", value.as_str())]);
                    }
                    start.elapsed()
                });
                left -= batch.len();
            }
            total
        });
    });
    group.finish();
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap())
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
    // First what takes memory, before other clients have left theirs in pieces.
    targets = first_sight, handles, by_name
}
criterion_main!(benches);
