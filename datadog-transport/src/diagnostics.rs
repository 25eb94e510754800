//! What the client says about itself: lines for the `log` crate, with the target `datadog`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::on_worker;

/// How often one kind of line may appear.
const PERIOD: Duration = Duration::from_secs(60);

static LIMITERS: Mutex<BTreeMap<&str, Limiter>> = Mutex::new(BTreeMap::new());

/// Warns about something that may happen again and again. Of each `kind` one line a minute appears, which tells
/// how many were left out since the one before.
pub fn warn(kind: &'static str, line: impl FnOnce() -> String) {
    // Not waited for: in a forked child, the lock may be held by a thread that does not exist there.
    let admitted = LIMITERS
        .try_lock()
        .and_then(|mut limiters| limiters.entry(kind).or_default().admit(Instant::now()));
    write(admitted, line);
}

/// Whether a line is about a client's own work: by its target, or because a worker writes it. Sending it would cause
/// the next one.
pub fn is_own(target: &str) -> bool {
    const CRATES: [&str; 8] = [
        "datadog",
        "datadog_config",
        "datadog_logs",
        "datadog_metrics",
        "datadog_profiling",
        "datadog_security",
        "datadog_trace",
        "datadog_transport",
    ];
    let is_ours = || CRATES.contains(&target.split("::").next().unwrap_or(target));
    (target.starts_with("datadog") && is_ours()) || on_worker()
}

/// Remembers when a line appeared last.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    last: Option<Instant>,
    left_out: u64,
}

impl Limiter {
    /// Like [`warn`], for one sort of line of one object.
    pub(crate) fn warn(&mut self, line: impl FnOnce() -> String) {
        write(self.admit(Instant::now()), line);
    }

    /// How many lines were left out, if one may appear now.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let early = |last| now.saturating_duration_since(last) < PERIOD;
        if self.last.is_some_and(early) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

fn write(admitted: Option<u64>, line: impl FnOnce() -> String) {
    match admitted {
        Some(0) => log::warn!(target: "datadog", "{}", line()),
        Some(left_out) => {
            log::warn!(target: "datadog", "{} ({left_out} like this left out)", line())
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_with_a_count_of_the_others() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        assert_eq!(limiter.admit(start), Some(0));
        assert_eq!(limiter.admit(start + PERIOD / 3), None);
        assert_eq!(limiter.admit(start + PERIOD / 2), None);
        assert_eq!(limiter.admit(start + PERIOD), Some(2));
        assert_eq!(limiter.admit(start + PERIOD * 3), Some(0));
    }
}
