//! OpenTelemetry's sampling member of `tracestate`, by which its samplers come to the same decision
//! (OTEP 235; dd-trace-go: `ddtrace/tracer/otel_probability.go`).

use std::borrow::Cow;

use super::knuth;
use crate::propagate::digits;

/// Values have 56 bits.
const BITS: u32 = 56;
const DIGITS: usize = BITS as usize / 4;

/// Appends `ot=rv:…;th:…` for a decision that was made by `rate`; nothing for a rate of 0, which has no threshold. A
/// trace is kept where the randomness `rv` reaches the threshold `th`.
pub(crate) fn push_member(text: &mut String, trace_id: u64, rate: f64) {
    if rate <= 0.0 {
        return;
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
    text.push_str("ot=rv:");
    digits::push_hex(text, randomness.into(), DIGITS);
    text.push_str(";th:");
    // Zeros at the end say nothing, but one digit stays.
    let zeros = (threshold.trailing_zeros() as usize / 4).min(DIGITS - 1);
    digits::push_hex(text, (threshold >> (4 * zeros)).into(), DIGITS - zeros);
}

/// The members of `tracestate` without the threshold of OpenTelemetry's: it does not tell of a decision that the program
/// made. The randomness is the trace's.
pub(crate) fn without_threshold(tracestate: &str) -> String {
    let members = tracestate.split(',').filter_map(|member| {
        let Some(values) = member.strip_prefix("ot=") else {
            return Some(Cow::Borrowed(member));
        };
        // Without what is empty: a member without a value would make the whole list one with a mistake.
        let stays = |value: &&str| !value.is_empty() && !value.starts_with("th:");
        let others: Vec<_> = values.split(';').filter(stays).collect();
        (!others.is_empty()).then(|| format!("ot={}", others.join(";")).into())
    });
    members.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_taken_out_and_all_else_stays() {
        for (state, left) in [
            ("", ""),
            ("a=th:1,b=2", "a=th:1,b=2"),
            (
                "a=1,ot=rv:ffffffffffffff;th:8;x:y,b=2",
                "a=1,ot=rv:ffffffffffffff;x:y,b=2",
            ),
            ("a=1,ot=th:8,b=2", "a=1,b=2"),
            ("ot=th:8", ""),
            ("a=1,ot=;th:8;,b=2", "a=1,b=2"),
            ("ot=th:8;rv:1;th:;th,ot=th:", "ot=rv:1;th"),
        ] {
            assert_eq!(without_threshold(state), left);
        }
    }

    #[test]
    fn the_member_says_what_was_decided() {
        let member = |id, rate| {
            let mut text = String::new();
            push_member(&mut text, id, rate);
            text
        };
        assert_eq!(member(1, 0.0), "");
        assert_eq!(member(0, 1.0), "ot=rv:ffffffffffffff;th:0");
        assert_eq!(member(0, 0.5), "ot=rv:ffffffffffffff;th:8");
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..10_000 {
            let (id, rate) = (random.u64(..), random.f64().max(1e-9));
            let text = member(id, rate);
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
