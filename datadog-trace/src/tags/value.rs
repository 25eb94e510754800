//! The value of a tag, in eight bytes.

use super::Place;

/// What a finite number never has: all bits of the exponent. A place is a NaN or an infinity, which no tag is.
const IS_PLACE: u64 = 0x7ff << PLACE_BITS;

/// The bits that a number has behind its exponent.
const PLACE_BITS: u32 = 52;

/// The furthest that a text may reach in its buffer.
pub(super) const FURTHEST: usize = (1 << (PLACE_BITS / 2)) - 1;

/// A finite number, or the place of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value(u64);

/// What a [`Value`] is.
pub(super) enum Seen {
    Text(Place),
    Number(f64),
}

impl Value {
    /// The end must not be beyond [`FURTHEST`].
    #[inline]
    pub(super) const fn text(place: Place) -> Self {
        debug_assert!(place.end as usize <= FURTHEST);
        Self(IS_PLACE | (place.start as u64) << (PLACE_BITS / 2) | place.end as u64)
    }

    /// The number must be finite.
    #[inline]
    pub(super) const fn number(number: f64) -> Self {
        debug_assert!(number.is_finite());
        Self(number.to_bits())
    }

    #[inline]
    pub(super) const fn seen(self) -> Seen {
        if self.0 & IS_PLACE == IS_PLACE {
            Seen::Text(Place {
                start: (self.0 >> (PLACE_BITS / 2)) as u32 & FURTHEST as u32,
                end: self.0 as u32 & FURTHEST as u32,
            })
        } else {
            Seen::Number(f64::from_bits(self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_places_are_told_apart() {
        assert_eq!(size_of::<Value>(), 8);
        let numbers = [
            0.0,
            -0.0,
            1.5,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            -5e-324,
        ];
        for number in numbers {
            let Seen::Number(seen) = Value::number(number).seen() else {
                panic!("{number} is no place");
            };
            assert_eq!(seen.to_bits(), number.to_bits());
        }
        let furthest = FURTHEST as u32;
        for (start, end) in [(0, 0), (0, furthest), (furthest, furthest), (1, 2)] {
            let Seen::Text(seen) = Value::text(Place { start, end }).seen() else {
                panic!("{start}..{end} is no number");
            };
            assert_eq!((seen.start, seen.end), (start, end));
        }
    }
}
