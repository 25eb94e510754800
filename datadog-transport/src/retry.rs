//! What to do after each outcome of a request, and how long to wait before the next try.

use std::time::{Duration, Instant};

use crate::{Answer, SendError};

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The wait after the first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest `Retry-After` that is obeyed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What an outcome means for the payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// It may be taken in smaller pieces.
    TooLarge {
        error: String,
    },
    /// It will never be taken.
    Refused {
        status: u16,
        error: String,
    },
    /// The client is shutting down.
    Stopped,
    /// It may be taken later. `absent`: nothing listens at the address.
    Later {
        error: String,
        retry_after: Option<Duration>,
        absent: bool,
    },
}

/// Reads an outcome. Statuses that a later try may change are 408, 429 and 5xx; every other refusal is final.
pub(crate) fn judge(outcome: &Result<Answer, SendError>) -> Verdict {
    match outcome {
        Ok(answer) => match answer.status() {
            200..=299 => Verdict::Delivered,
            status @ (408 | 429 | 500..=599) => Verdict::Later {
                error: explain(status, answer.body()),
                retry_after: retry_after(answer),
                absent: false,
            },
            413 => Verdict::TooLarge {
                error: explain(413, answer.body()),
            },
            status => Verdict::Refused {
                status,
                error: explain(status, answer.body()),
            },
        },
        Err(SendError::Interrupted(_)) => Verdict::Stopped,
        Err(SendError::NotListening(error)) => Verdict::Later {
            error: error.clone(),
            retry_after: None,
            absent: true,
        },
        Err(SendError::Torn(error) | SendError::TimedOut(error) | SendError::Other(error)) => {
            Verdict::Later {
                error: error.clone(),
                retry_after: None,
                absent: false,
            }
        }
    }
}

/// The seconds to wait, from the header that servers send in general, or from the one that Datadog's intake sends
/// (public API reference, "Rate limits").
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer
        .header("retry-after")
        .or_else(|| answer.header("x-ratelimit-reset"))?;
    let seconds = seconds.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

fn explain(status: u16, body: &[u8]) -> String {
    let hint = match status {
        401 | 403 => " (is DD_API_KEY right for this site?)",
        404 => " (is this the agent, and is it recent enough?)",
        _ => "",
    };
    let body: String = String::from_utf8_lossy(body).chars().take(200).collect();
    let body = body.trim();
    format!(
        "the receiver answered {status}{hint}{}{body}",
        if body.is_empty() { "" } else { ": " }
    )
}

/// Waits that grow with each failure in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// When the next try is due, if that is after `now`.
    pub(crate) fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    pub(crate) fn fail(&mut self, now: Instant, retry_after: Option<Duration>) {
        let longest = LONGEST_WAIT.min(FIRST_WAIT * 2u32.pow(self.failures.min(10)));
        // Full jitter, so that clients which failed together don't come back together.
        let wait = retry_after.unwrap_or_else(|| longest.mul_f64(fastrand::f64()));
        self.until = Some(now + wait);
        self.failures += 1;
    }

    pub(crate) fn succeed(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_a_success_resets_them() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let mut longest_seen = Duration::ZERO;
        backoff.fail(now, None);
        assert!(
            backoff
                .wait_until(now)
                .is_none_or(|until| until <= now + FIRST_WAIT)
        );
        for _ in 0..200 {
            backoff.fail(now, None);
            longest_seen = longest_seen.max(
                backoff
                    .wait_until(now)
                    .map_or(Duration::ZERO, |until| until - now),
            );
        }
        assert!(
            longest_seen <= LONGEST_WAIT && longest_seen > LONGEST_WAIT / 2,
            "{longest_seen:?}"
        );
        backoff.succeed();
        assert_eq!(backoff.wait_until(now), None);
        backoff.fail(now, Some(Duration::from_secs(7)));
        assert_eq!(backoff.wait_until(now), Some(now + Duration::from_secs(7)));
    }

    #[test]
    fn a_missing_server_is_told_from_a_busy_one() {
        let absent = judge(&Err(SendError::NotListening("refused".to_owned())));
        assert!(matches!(absent, Verdict::Later { absent: true, .. }));
        let busy = judge(&Err(SendError::TimedOut("slow".to_owned())));
        assert!(matches!(busy, Verdict::Later { absent: false, .. }));
    }

    #[test]
    fn both_headers_that_ask_for_patience_are_read_and_bounded() {
        let wait = |name, value| retry_after(&Answer::of_status(429).with_header(name, value));
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("x-ratelimit-reset", "3"), Some(Duration::from_secs(3)));
        assert_eq!(wait("retry-after", "86400"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(wait("retry-after", "soon"), None);
    }
}
