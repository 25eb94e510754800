//! The figures of tokio runtimes.

use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeMetrics as Figures};

use super::{RuntimeMetrics, Source, Watched};
use crate::Gauge;

struct Runtime {
    figures: Figures,
    workers: Gauge,
    alive_tasks: Gauge,
    queued_tasks: Gauge,
}

impl RuntimeMetrics {
    /// Tells the figures of a tokio runtime too, as gauges with the tag `tokio_runtime`: 0 for the first runtime given, 1 for
    /// the second, and so on.
    ///
    /// | metric | what |
    /// |---|---|
    /// | `runtime.rust.tokio.workers` | worker threads |
    /// | `runtime.rust.tokio.alive_tasks` | tasks that were spawned and have not ended |
    /// | `runtime.rust.tokio.global_queue_depth` | tasks that wait for any worker |
    ///
    /// For runtimes that live as long as the client: `handle` is kept until the client ends. Without effect where the
    /// config does not ask for runtime metrics.
    pub fn observe_tokio(&self, handle: &Handle) {
        // In a forked child, the lock may be held by a thread that is not there.
        let here = |watched: &&Arc<Watched>| watched.metrics.is_here();
        let Some(watched) = self.watched.as_ref().filter(here) else {
            return;
        };
        let mut sources = watched.sources.lock();
        // The first source is the process.
        let number = sources.len() - 1;
        sources.push(Box::new(Runtime::new(watched, number, handle)));
    }
}

impl Runtime {
    fn new(watched: &Watched, number: usize, handle: &Handle) -> Self {
        let number = number.to_string();
        let gauge = |name| watched.gauge(name, Some(("tokio_runtime", &number)));
        Self {
            figures: handle.metrics(),
            workers: gauge("tokio.workers"),
            alive_tasks: gauge("tokio.alive_tasks"),
            queued_tasks: gauge("tokio.global_queue_depth"),
        }
    }
}

impl Source for Runtime {
    fn tell(&mut self) {
        self.workers.set(self.figures.num_workers() as f64);
        self.alive_tasks.set(self.figures.num_alive_tasks() as f64);
        self.queued_tasks
            .set(self.figures.global_queue_depth() as f64);
    }
}
