//! Measuring time.

use std::time::Instant;

use crate::Distribution;

/// Measures the time from [`Metrics::measure`](crate::Metrics::measure) until it is dropped, in seconds, as a
/// distribution. It may be dropped on another thread.
#[derive(Debug)]
#[must_use = "a timer that is dropped at once measures nothing"]
pub struct Timer {
    distribution: Distribution,
    start: Instant,
}

impl Timer {
    pub(crate) fn start(distribution: Distribution) -> Self {
        Self {
            distribution,
            start: Instant::now(),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.distribution.record(self.start.elapsed().as_secs_f64());
    }
}
