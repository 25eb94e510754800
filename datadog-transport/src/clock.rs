//! Time for callers: one look at the clock gives both a wall time and a point to measure durations from.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long an anchor holds.
const PERIOD: Duration = Duration::from_secs(60);

/// A monotonic clock anchored to the wall clock, so that a duration is exact whatever happens to the wall clock
/// meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
    anchor_unix: Duration,
}

impl Clock {
    /// A clock anchored to the wall clock as it is now.
    pub fn new() -> Self {
        Self {
            anchor: Instant::now(),
            anchor_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// Anchors the clock anew once a minute, as a machine that slept or whose wall clock was set makes the old anchor
    /// wrong.
    pub fn renew(&mut self) {
        if self.anchor.elapsed() >= PERIOD {
            *self = Self::new();
        }
    }

    /// The time of `at`, in nanoseconds since the Unix epoch.
    pub fn unix_nanos(&self, at: Instant) -> u64 {
        let since_epoch = match at.checked_duration_since(self.anchor) {
            Some(later) => self.anchor_unix + later,
            None => self
                .anchor_unix
                .saturating_sub(self.anchor.duration_since(at)),
        };
        u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_advances_with_the_monotonic_clock() {
        let clock = Clock::new();
        let start = Instant::now();
        let later = start + Duration::from_millis(1500);
        assert_eq!(
            clock.unix_nanos(later) - clock.unix_nanos(start),
            1_500_000_000
        );
        let earlier = start - Duration::from_secs(5);
        assert_eq!(
            clock.unix_nanos(start) - clock.unix_nanos(earlier),
            5_000_000_000
        );
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64;
        assert!(now.abs_diff(clock.unix_nanos(Instant::now())) < 1_000_000_000);
    }
}
