//! Values of span tags.

use std::borrow::Cow;

/// The value of a tag: text and booleans become the span's `meta`, numbers its `metrics`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TagValue {
    /// Text.
    Text(Cow<'static, str>),
    /// A number. Datadog keeps 64-bit floats, so integers beyond 2⁵³ lose their last digits.
    Number(f64),
}

impl From<&str> for TagValue {
    fn from(text: &str) -> Self {
        Self::Text(Cow::Owned(text.to_owned()))
    }
}

impl From<String> for TagValue {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<&String> for TagValue {
    fn from(text: &String) -> Self {
        Self::Text(Cow::Owned(text.clone()))
    }
}

impl From<bool> for TagValue {
    fn from(truth: bool) -> Self {
        Self::Text(Cow::Borrowed(if truth { "true" } else { "false" }))
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for TagValue {
            fn from(number: $number) -> Self {
                Self::Number(number as f64)
            }
        }
    )*};
}

numbers!(f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize);
