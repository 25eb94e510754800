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
            status @ (408 | 429 | 500..=599) => {
                let seconds = answer
                    .header("retry-after")
                    .and_then(|value| value.trim().parse().ok());
                let retry_after =
                    seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
                Verdict::Later {
                    error: explain(status, answer.body()),
                    retry_after,
                    absent: false,
                }
            }
            413 => Verdict::TooLarge {
                error: explain(413, answer.body()),
            },
            status => Verdict::Refused {
                status,
                error: explain(status, answer.body()),
            },
        },
        Err(error) => {
            let (SendError::NotListening(text)
            | SendError::Torn(text)
            | SendError::TimedOut(text)
            | SendError::Other(text)) = error;
            let absent = matches!(error, SendError::NotListening(_));
            Verdict::Later {
                error: text.clone(),
                retry_after: None,
                absent,
            }
        }
    }
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
}
