//! At most so many a second.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A bucket of tokens that fills up at the limit's pace, with the part that was allowed of late
/// (ddtrace: `ddtrace/internal/rate_limiter.py`).
#[derive(Debug)]
pub(crate) struct Limiter {
    per_second: f64,
    tokens: f64,
    filled: Option<Instant>,
    window: Option<Instant>,
    seen: u32,
    allowed: u32,
    /// That of the second before, if there was one.
    rate_before: Option<f64>,
}

impl Limiter {
    pub(crate) fn new(per_second: f64) -> Self {
        Self {
            per_second,
            tokens: most_tokens(per_second),
            filled: None,
            window: None,
            seen: 0,
            allowed: 0,
            rate_before: None,
        }
    }

    /// Whether one more is allowed, and the part that was: the mean of this second's and the last one's.
    pub(crate) fn allow(&mut self, now: Instant) -> (bool, f64) {
        self.fill(now);
        self.turn_window(now);
        let allowed = self.tokens >= 1.0;
        self.seen += 1;
        if allowed {
            self.tokens -= 1.0;
            self.allowed += 1;
        }
        let now = self.rate_now();
        let mean = self.rate_before.map(|before| (now + before) / 2.0);
        (allowed, mean.unwrap_or(now))
    }

    fn fill(&mut self, now: Instant) {
        let since = *self.filled.get_or_insert(now);
        // Spans of several threads may come out of order.
        if let Some(passed) = now.checked_duration_since(since) {
            let most = most_tokens(self.per_second);
            self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(most);
            self.filled = Some(now);
        }
    }

    fn turn_window(&mut self, now: Instant) {
        let start = *self.window.get_or_insert(now);
        let passed = now.saturating_duration_since(start);
        if passed >= SECOND {
            self.rate_before = (passed < 2 * SECOND).then(|| self.rate_now());
            (self.seen, self.allowed) = (0, 0);
            self.window = Some(now);
        }
    }

    fn rate_now(&self) -> f64 {
        match self.seen {
            0 => 1.0,
            seen => f64::from(self.allowed) / f64::from(seen),
        }
    }
}

/// A second's worth, but one at least, or a slow pace would never allow any.
fn most_tokens(per_second: f64) -> f64 {
    if per_second > 0.0 {
        per_second.max(1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_the_limit_at_once_and_then_at_its_pace() {
        let mut limiter = Limiter::new(4.0);
        let start = Instant::now();
        let allowed = |limiter: &mut Limiter, ms: u64, tries: usize| {
            (0..tries)
                .filter(|_| limiter.allow(start + Duration::from_millis(ms)).0)
                .count()
        };
        assert_eq!(allowed(&mut limiter, 0, 10), 4);
        assert_eq!(allowed(&mut limiter, 240, 5), 0);
        assert_eq!(allowed(&mut limiter, 250, 5), 1);
        assert_eq!(
            allowed(&mut limiter, 10_000, 9),
            4,
            "a rest is not saved up"
        );
        assert_eq!(allowed(&mut limiter, 9_000, 9), 0, "time does not run back");
    }

    #[test]
    fn tells_the_part_that_was_allowed() {
        let mut limiter = Limiter::new(1.0);
        let start = Instant::now();
        assert_eq!(limiter.allow(start), (true, 1.0));
        assert_eq!(limiter.allow(start), (false, 0.5));
        assert_eq!(limiter.allow(start + SECOND), (true, 0.75));
        assert_eq!(limiter.allow(start + 9 * SECOND), (true, 1.0));
    }

    #[test]
    fn extremes_work() {
        assert!(!Limiter::new(0.0).allow(Instant::now()).0);
        let mut slow = Limiter::new(0.1);
        let start = Instant::now();
        assert!(slow.allow(start).0);
        assert!(!slow.allow(start + 5 * SECOND).0);
        assert!(slow.allow(start + 10 * SECOND).0);
    }
}
