//! What a child span with two tags costs the thread that makes it, in its CPU time while the
//! processor is not disturbed.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::cell::Cell;
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
    let waiting = Cell::new(0);
    let make_room = || {
        if waiting.replace(waiting.get() + 1) == TRACES {
            client.flush();
            waiting.set(1);
        }
    };
    let measure = |()| {
        let mut taken = Duration::ZERO;
        client.trace(CHILDREN, &mut |children| {
            let start = ThreadTime::now();
            children();
            taken = start.elapsed();
        });
        taken
    };
    let taken = (0..traces).map(|_| undisturbed::measured(make_room, measure));
    let taken: Duration = taken.sum();
    client.flush();
    taken.mul_f64(rounds as f64 / (traces * CHILDREN) as f64)
}

fn child(criterion: &mut Criterion) {
    let sink = Sink::start();
    let mut group = criterion.benchmark_group("child span, two tags");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(300));
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
