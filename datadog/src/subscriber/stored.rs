//! Values of fields, as they are kept and as they are shown.

use std::ops::Range;

use datadog_trace::TagValue;

/// A value of a field as it is kept. A pair of numbers, so that it goes in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    kind: Kind,
    /// The bits of a number; of a text, where it starts and ends in the buffer.
    bits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Int,
    UInt,
    Float,
    Bool,
}

impl Stored {
    #[inline(always)]
    pub(super) fn text(start: usize, end: usize) -> Self {
        Self {
            kind: Kind::Text,
            bits: (start as u64) << 32 | end as u64,
        }
    }

    #[inline(always)]
    pub(super) fn int(number: i64) -> Self {
        Self {
            kind: Kind::Int,
            bits: number as u64,
        }
    }

    #[inline(always)]
    pub(super) fn uint(number: u64) -> Self {
        Self {
            kind: Kind::UInt,
            bits: number,
        }
    }

    #[inline(always)]
    pub(super) fn float(number: f64) -> Self {
        Self {
            kind: Kind::Float,
            bits: number.to_bits(),
        }
    }

    #[inline(always)]
    pub(super) fn bool(truth: bool) -> Self {
        Self {
            kind: Kind::Bool,
            bits: truth.into(),
        }
    }

    /// Where it stands, if it is a text.
    #[inline(always)]
    pub(super) fn place(self) -> Option<Range<usize>> {
        (self.kind == Kind::Text).then(|| self.range())
    }

    #[inline(always)]
    fn range(self) -> Range<usize> {
        (self.bits >> 32) as usize..self.bits as u32 as usize
    }

    /// What it is, with the texts in `buffer`.
    #[inline]
    pub(super) fn value(self, buffer: &str) -> FieldValue<'_> {
        match self.kind {
            Kind::Text => FieldValue::Text(buffer.get(self.range()).unwrap_or_default()),
            Kind::Int => FieldValue::Int(self.bits as i64),
            Kind::UInt => FieldValue::UInt(self.bits),
            Kind::Float => FieldValue::Float(f64::from_bits(self.bits)),
            Kind::Bool => FieldValue::Bool(self.bits != 0),
        }
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FieldValue<'a> {
    Text(&'a str),
    Int(i64),
    UInt(u64),
    Float(f64),
    Bool(bool),
}

impl<'a> FieldValue<'a> {
    /// The same as a value of a tag, or of an attribute.
    #[inline]
    pub(super) fn to<V>(self) -> V
    where
        V: From<&'a str> + From<i64> + From<u64> + From<f64> + From<bool>,
    {
        match self {
            FieldValue::Text(text) => text.into(),
            FieldValue::Int(number) => number.into(),
            FieldValue::UInt(number) => number.into(),
            FieldValue::Float(number) => number.into(),
            FieldValue::Bool(truth) => truth.into(),
        }
    }
}

impl<'a> From<FieldValue<'a>> for TagValue<'a> {
    #[inline]
    fn from(value: FieldValue<'a>) -> Self {
        value.to()
    }
}
