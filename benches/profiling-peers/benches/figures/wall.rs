//! What the wall clock costs threads that wait in spans.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use datadog_transport::context::{self, ActiveSpan};

use crate::sampler::{OURS, Sampler, WALL};
use crate::work::{deep, process_seconds};

/// As many as are looked at together.
const THREADS: usize = 8;

const TIME: Duration = Duration::from_secs(10);

/// Lets the wall clock look at this thread.
pub(crate) fn enter_span() {
    context::set(Some(ActiveSpan {
        trace_id: 1,
        span_id: 2,
        local_root_id: 2,
    }));
}

/// The percent of a core that it takes, and what that is for a sample.
pub(crate) fn waiting() -> String {
    let [without, with] = [OURS, WALL].map(cpu_seconds);
    let added = with.0 - without.0;
    format!(
        "{:+.2} %, {:.0} µs a sample",
        100.0 * added / TIME.as_secs_f64(),
        1e6 * added / with.1
    )
}

/// The process' CPU time while threads wait, and the samples by the wall clock.
fn cpu_seconds(sampler: &str) -> (f64, f64) {
    let sampling = Sampler::start(sampler);
    let all = thread::scope(|scope| {
        let ends: Vec<_> = (0..THREADS)
            .map(|_| {
                let (end, ends) = mpsc::channel::<()>();
                scope.spawn(move || {
                    enter_span();
                    deep(30, &mut || {
                        let _ = ends.recv();
                    });
                });
                end
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        let before = process_seconds();
        thread::sleep(TIME);
        let used = process_seconds() - before;
        drop(ends);
        used
    });
    let samples = TIME.as_secs_f64() * 11.0 * THREADS as f64;
    drop(sampling);
    (all, samples)
}
