//! What the client says about itself: lines for the `log` crate, with the target `datadog`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often one kind of line may appear.
const PERIOD: Duration = Duration::from_secs(60);

static LIMITER: Mutex<Limiter> = Mutex::new(Limiter {
    kinds: BTreeMap::new(),
});

/// Remembers when each kind of line appeared last.
#[derive(Debug)]
struct Limiter {
    kinds: BTreeMap<&'static str, Kind>,
}

#[derive(Debug)]
struct Kind {
    last: Instant,
    left_out: u64,
}

/// Warns about something that may happen again and again. Of each `kind` one line a minute appears, which tells
/// how many were left out since the one before.
pub fn warn(kind: &'static str, line: impl FnOnce() -> String) {
    let admitted = LIMITER.lock().admit(kind, Instant::now());
    match admitted {
        Some(0) => log::warn!(target: "datadog", "{}", line()),
        Some(left_out) => {
            log::warn!(target: "datadog", "{} ({left_out} like this left out)", line())
        }
        None => {}
    }
}

impl Limiter {
    /// How many lines of this kind were left out, if one may appear now.
    fn admit(&mut self, kind: &'static str, now: Instant) -> Option<u64> {
        match self.kinds.get_mut(kind) {
            Some(known) if now.saturating_duration_since(known.last) < PERIOD => {
                known.left_out += 1;
                None
            }
            known => {
                let left_out = known.map_or(0, |known| known.left_out);
                self.kinds.insert(
                    kind,
                    Kind {
                        last: now,
                        left_out: 0,
                    },
                );
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_of_each_kind_with_a_count_of_the_others() {
        let mut limiter = Limiter {
            kinds: BTreeMap::new(),
        };
        let start = Instant::now();
        assert_eq!(limiter.admit("a", start), Some(0));
        assert_eq!(limiter.admit("b", start), Some(0));
        assert_eq!(limiter.admit("a", start + PERIOD / 3), None);
        assert_eq!(limiter.admit("a", start + PERIOD / 2), None);
        assert_eq!(limiter.admit("a", start + PERIOD), Some(2));
        assert_eq!(limiter.admit("a", start + PERIOD * 3), Some(0));
    }
}
