//! What a child span with two tags costs the thread that makes it, in its CPU time.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::time::Duration;

use cpu_time::ThreadTime;
use criterion::{Criterion, criterion_group, criterion_main};
use trace_peers::clients::{self, Client, NAMES};
use trace_peers::sink::Sink;

/// Children of one trace.
const CHILDREN: u64 = 250;

/// Traces between two flushes, which are not measured: so many fit into every queue.
const TRACES: u64 = 8;

fn taken(client: &dyn Client, rounds: u64) -> Duration {
    let traces = rounds.div_ceil(CHILDREN);
    let mut taken = Duration::ZERO;
    for at in 0..traces {
        client.trace(CHILDREN, &mut |children| {
            let start = ThreadTime::now();
            children();
            taken += start.elapsed();
        });
        if at % TRACES == TRACES - 1 {
            client.flush();
        }
    }
    taken.mul_f64(rounds as f64 / (traces * CHILDREN) as f64)
}

fn child(criterion: &mut Criterion) {
    let sink = Sink::start();
    let mut group = criterion.benchmark_group("child span, two tags");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    for name in NAMES {
        let client = clients::start(name, sink.address);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| taken(&*client, rounds));
        });
    }
    group.finish();
}

criterion_group!(benches, child);
criterion_main!(benches);
