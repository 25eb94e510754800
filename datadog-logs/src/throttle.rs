//! Which records are left out on purpose: sampling and rate limits by level.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use datadog_config::DDConfig;
use datadog_transport::DropReason;
use datadog_transport::context::ActiveSpan;

use crate::Level;

/// Spreads trace ids evenly; the number that Datadog's samplers use (dd-trace-go: `ddtrace/tracer/sampler.go`).
const SPREAD: u64 = 1_111_111_111_111_111_111;

/// The rules of one client; the places of the levels are those of [`Level::ALL`].
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    rules: [Rule; Level::ALL.len()],
}

#[derive(Debug)]
struct Rule {
    /// The part that is kept, 0 to 1.
    rate: f64,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    most: u32,
    /// A second since the epoch in the high half, how many were taken in it in the low half.
    window: AtomicU64,
}

impl Throttle {
    pub(crate) fn of(config: &DDConfig) -> Self {
        let mut throttle = Self::default();
        for (level, rate) in config.logs_sample_rates() {
            if let Some(rule) = throttle.rule(level) {
                rule.rate = *rate;
            }
        }
        for (level, most) in config.logs_rate_limits() {
            if let Some(rule) = throttle.rule(level) {
                rule.limit = Some(Limit {
                    most: most.ceil() as u32,
                    window: AtomicU64::new(0),
                });
            }
        }
        throttle
    }

    /// Why a record that is written now is left out, if it is.
    pub(crate) fn leaves_out(&self, level: Level, span: Option<ActiveSpan>) -> Option<DropReason> {
        let rule = &self.rules[level as usize];
        if rule.rate < 1.0 && !is_kept(rule.rate, span) {
            return Some(DropReason::Sampled);
        }
        let limit = rule.limit.as_ref()?;
        (!limit.admits(now())).then_some(DropReason::RateLimited)
    }

    fn rule(&mut self, status: &str) -> Option<&mut Rule> {
        let at = Level::ALL
            .iter()
            .position(|level| level.as_str() == status)?;
        self.rules.get_mut(at)
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            rate: 1.0,
            limit: None,
        }
    }
}

impl Limit {
    fn admits(&self, second: u32) -> bool {
        let next = |window: u64| {
            let taken = if window >> 32 == u64::from(second) {
                window as u32
            } else {
                0
            };
            (taken < self.most).then(|| u64::from(second) << 32 | u64::from(taken + 1))
        };
        self.window
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

/// Whether a record belongs to the part `rate`. The records of a trace stay together.
fn is_kept(rate: f64, span: Option<ActiveSpan>) -> bool {
    let place = match span {
        Some(span) => (span.trace_id as u64).wrapping_mul(SPREAD),
        None => fastrand::u64(..),
    };
    (place as f64) < rate * 2_f64.powi(64)
}

/// Seconds since the epoch.
fn now() -> u32 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_secs() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_admits_so_many_a_second() {
        let limit = Limit {
            most: 3,
            window: AtomicU64::new(0),
        };
        let admitted = |second| (0..10).filter(|_| limit.admits(second)).count();
        assert_eq!((admitted(7), admitted(7), admitted(8)), (3, 0, 3));
        let none = Limit {
            most: 0,
            window: AtomicU64::new(0),
        };
        assert!(!none.admits(7));
    }

    #[test]
    fn a_rate_keeps_its_part_and_traces_whole() {
        let span = |trace_id| {
            Some(ActiveSpan {
                trace_id,
                span_id: 1,
                local_root_id: 1,
            })
        };
        let kept = (0..40_000)
            .filter(|_| is_kept(0.25, span(fastrand::u128(..))))
            .count();
        assert!((9_000..11_000).contains(&kept), "{kept}");
        let alone = (0..40_000).filter(|_| is_kept(0.25, None)).count();
        assert!((9_000..11_000).contains(&alone), "{alone}");
        for id in 0..100 {
            assert_eq!(is_kept(0.5, span(id)), is_kept(0.5, span(id)));
        }
        assert!(!is_kept(0.0, None));
    }
}
