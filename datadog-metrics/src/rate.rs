//! The part of the calls that a caller wants taken.

/// The least that servers reckon with (saluki: `lib/saluki-io/src/deser/codec/dogstatsd/metric.rs`).
const LEAST: f64 = 1e-6;

/// The probability by which a call's value is taken, from [`LEAST`] to 1, or 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(f64);

impl Rate {
    /// Every value is taken.
    pub(crate) const ALL: Self = Self(1.0);

    /// What is no number, or above 1, stands for 1, and what is not above 0 for 0.
    pub(crate) fn new(rate: f64) -> Self {
        if rate <= 0.0 {
            Self(0.0)
        } else if rate < 1.0 {
            Self(rate.max(LEAST))
        } else {
            Self::ALL
        }
    }

    pub(crate) fn value(self) -> f64 {
        self.0
    }

    /// Decides by chance whether to take a value.
    #[inline]
    pub(crate) fn takes(self) -> bool {
        fastrand::f64() < self.0
    }

    /// What tells rates apart, where two that differ by less than a ten-millionth are the same. 0 for [`Rate::ALL`].
    #[inline(always)]
    pub(crate) fn key(self) -> u32 {
        if self.0 == 1.0 {
            0
        } else {
            (self.0 as f32).to_bits()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_rates_are_the_nearest_that_have_one() {
        for (given, used) in [
            (0.25, 0.25),
            (1.0, 1.0),
            (2.0, 1.0),
            (f64::INFINITY, 1.0),
            (f64::NAN, 1.0),
            (1e-9, 1e-6),
            (0.0, 0.0),
            (-1.0, 0.0),
        ] {
            assert_eq!(Rate::new(given).value(), used, "{given}");
        }
    }

    #[test]
    fn none_and_all_leave_nothing_to_chance() {
        assert!((0..1000).all(|_| Rate::ALL.takes()));
        assert!((0..1000).all(|_| !Rate::new(0.0).takes()));
        let taken = (0..10_000).filter(|_| Rate::new(0.25).takes()).count();
        // 8 standard deviations are 346.
        assert!((2154..2846).contains(&taken), "{taken}");
    }
}
