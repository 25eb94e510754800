//! The hash by which all official clients and the agent come to the same decision about a trace id
//! (dd-trace-go: `ddtrace/tracer/sampler.go`).

use std::borrow::Cow;

pub(crate) const FACTOR: u64 = 1_111_111_111_111_111_111;

/// Whether an id is among the part `rate` that is kept. Trace ids count with their low 64 bits.
pub(crate) fn keeps(id: u64, rate: f64) -> bool {
    rate >= 1.0 || (rate > 0.0 && id.wrapping_mul(FACTOR) <= (rate * u64::MAX as f64) as u64)
}

/// The value of `_dd.p.ksr`: up to six decimals, without zeros at the end.
pub(crate) fn format_rate(rate: f64) -> Cow<'static, str> {
    // By far the most frequent one, and printing numbers takes its time.
    if rate == 1.0 {
        return Cow::Borrowed("1");
    }
    let text = format!("{rate:.6}");
    let shown = text.trim_end_matches('0').trim_end_matches('.');
    Cow::Owned(shown.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of system-tests: `tests/parametric/test_sampling_span_tags.py` and dd-trace-go: `sampler_test.go`.
    #[test]
    fn decides_as_the_other_languages_do() {
        let hash = |id: u64| id.wrapping_mul(FACTOR);
        assert_eq!(hash(1), 1_111_111_111_111_111_111);
        assert_eq!(hash(20), 3_775_478_148_512_670_604);
        for rate in [0.1, 0.25, 0.5, 0.9] {
            let limit = (rate * 18_446_744_073_709_551_615.0) as u64;
            for id in [1, 10, 12_345, 1 << 63, u64::MAX, 0x1234_5678_9abc_def0] {
                assert_eq!(keeps(id, rate), hash(id) <= limit, "{id} at {rate}");
            }
        }
        assert!(keeps(u64::MAX, 1.0) && !keeps(0, 0.0));
    }

    #[test]
    fn keeps_about_the_part_it_is_told() {
        let mut random = fastrand::Rng::with_seed(7);
        let kept = (0..100_000).filter(|_| keeps(random.u64(..), 0.2)).count();
        assert!((19_000..21_000).contains(&kept), "{kept}");
    }

    #[test]
    fn rates_have_six_decimals_at_most() {
        for (rate, text) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (0.0, "0"),
            (0.765_432_1, "0.765432"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "0"),
            (0.1 + 0.2, "0.3"),
        ] {
            assert_eq!(format_rate(rate), text);
        }
    }
}
