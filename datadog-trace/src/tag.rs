//! Values of span tags.

use std::borrow::Cow;

/// The value of a tag: text and booleans become the span's `meta`, numbers its `metrics`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TagValue<'a> {
    /// Text. The span copies it.
    Text(Cow<'a, str>),
    /// A number. Datadog keeps 64-bit floats, so integers beyond 2⁵³ lose their last digits.
    Number(f64),
}

impl<'a> From<&'a str> for TagValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for TagValue<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a String> for TagValue<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<Cow<'a, str>> for TagValue<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for TagValue<'_> {
    fn from(truth: bool) -> Self {
        Self::Text(Cow::Borrowed(if truth { "true" } else { "false" }))
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for TagValue<'_> {
            fn from(number: $number) -> Self {
                Self::Number(number as f64)
            }
        }
    )*};
}

numbers!(f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

impl TagValue<'_> {
    /// Whether it says no: any other text says yes.
    pub(crate) fn is_false(&self) -> bool {
        match self {
            Self::Text(text) => matches!(&**text, "false" | "False" | "0" | ""),
            Self::Number(number) => *number == 0.0,
        }
    }

    /// Whether it says yes, as tags such as `manual.keep` are read.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => matches!(&**text, "true" | "True" | "1" | ""),
            Self::Number(number) => *number != 0.0,
        }
    }
}
