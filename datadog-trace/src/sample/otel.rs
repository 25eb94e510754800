//! OpenTelemetry's sampling member of `tracestate`, by which its samplers come to the same decision
//! (OTEP 235; dd-trace-go: `ddtrace/tracer/otel_probability.go`).

use super::knuth;
use crate::propagate::hex;

/// Values have 56 bits.
const BITS: u32 = 56;
const DIGITS: u32 = BITS / 4;

/// `ot=rv:…;th:…` for a decision that was made by `rate`; `None` for a rate of 0, which has no threshold. A trace is
/// kept where the randomness `rv` reaches the threshold `th`.
pub(crate) fn member(trace_id: u64, rate: f64) -> Option<String> {
    if rate <= 0.0 {
        return None;
    }
    let threshold = ((1.0 - rate) * (1u64 << BITS) as f64).round() as u64;
    let threshold = threshold.min((1 << BITS) - 1);
    let randomness = !trace_id.wrapping_mul(knuth::FACTOR) >> (64 - BITS);
    // The lost bits must not turn the decision.
    let randomness = if knuth::keeps(trace_id, rate) {
        randomness.max(threshold)
    } else {
        randomness.min(threshold.saturating_sub(1))
    };
    let mut text = String::with_capacity(40);
    text.push_str("ot=rv:");
    hex::push(&mut text, randomness.into(), DIGITS);
    text.push_str(";th:");
    hex::push(&mut text, threshold.into(), DIGITS);
    // Zeros at the end say nothing, but one digit stays.
    let shown = text.trim_end_matches('0').len();
    text.truncate(shown);
    if threshold == 0 {
        text.push('0');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_says_what_was_decided() {
        assert_eq!(member(1, 0.0), None);
        assert_eq!(member(0, 1.0).as_deref(), Some("ot=rv:ffffffffffffff;th:0"));
        assert_eq!(member(0, 0.5).as_deref(), Some("ot=rv:ffffffffffffff;th:8"));
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..10_000 {
            let (id, rate) = (random.u64(..), random.f64().max(1e-9));
            let text = member(id, rate).unwrap();
            let (rv, th) = text
                .strip_prefix("ot=rv:")
                .unwrap()
                .split_once(";th:")
                .unwrap();
            let number = |text: &str| u64::from_str_radix(&format!("{text:0<14}"), 16).unwrap();
            assert_eq!(
                number(rv) >= number(th),
                knuth::keeps(id, rate),
                "{id} at {rate}: {text}"
            );
        }
    }
}
