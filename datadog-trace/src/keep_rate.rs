//! Which part of the spans was not lost by this client of late.

use std::collections::VecDeque;

use datadog_transport::{DropReason, SignalHealth};

/// Over so many passes of the worker, which are a second apart (dd-trace-py: `ddtrace/internal/writer/writer.py`).
const PASSES: usize = 10;

/// The mean over the last passes: the value of `_dd.tracer_kr`, by which Datadog scales up what it got.
#[derive(Debug, Default)]
pub(crate) struct KeepRate {
    /// Accepted and dropped so far, after each pass.
    seen: VecDeque<(u64, u64)>,
}

impl KeepRate {
    /// Takes the account after a pass. The part that was kept, from 0 to 1.
    pub(crate) fn learn(&mut self, health: &SignalHealth) -> f64 {
        // What sampling and filters leave out is no loss.
        let left_out = [DropReason::Sampled, DropReason::Filtered];
        let left_out: u64 = left_out
            .map(|reason| health.dropped.get(reason))
            .iter()
            .sum();
        let lost = health.dropped.total() - left_out;
        self.push(health.accepted, lost)
    }

    fn push(&mut self, accepted: u64, dropped: u64) -> f64 {
        self.seen.push_back((accepted, dropped));
        if self.seen.len() > PASSES {
            self.seen.pop_front();
        }
        let first = self.seen.front().copied().unwrap_or_default();
        // What is dropped may have been accepted before.
        let (accepted, dropped) = (accepted - first.0, dropped - first.1);
        if dropped == 0 {
            return 1.0;
        }
        1.0 - dropped as f64 / accepted.max(dropped) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_passes() {
        let mut rate = KeepRate::default();
        assert_eq!(rate.push(0, 0), 1.0);
        assert_eq!(rate.push(100, 0), 1.0);
        assert_eq!(rate.push(200, 50), 0.75);
        assert_eq!(rate.push(200, 200), 0.0);
        for _ in 0..PASSES {
            rate.push(300, 200);
        }
        assert_eq!(rate.push(400, 200), 1.0);
        assert_eq!(rate.push(400, 210), 0.9);
    }
}
