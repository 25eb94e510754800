//! Values of attributes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// The value of an attribute. Most are made by `into()`: texts, numbers, booleans, vectors, options, and durations,
/// which become nanoseconds as Datadog's standard attribute `duration` wants them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that may be too large for [`Value::Int`].
    UInt(u64),
    /// A number. JSON has no infinities and no NaN; they are sent as texts.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Several values.
    List(Vec<Self>),
    /// Values by name.
    Map(BTreeMap<Cow<'a, str>, Self>),
}

impl<'a> Value<'a> {
    /// A [`Value::Map`]. Of several pairs with the same key the last counts.
    pub fn map<K: Into<Cow<'a, str>>, V: Into<Self>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        Self::Map(pairs.collect())
    }

    /// A [`Value::List`].
    pub fn list<V: Into<Self>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    #[inline]
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    #[inline]
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    #[inline]
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value<'_> {
    #[inline]
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// Nanoseconds.
impl From<Duration> for Value<'_> {
    #[inline]
    fn from(duration: Duration) -> Self {
        Self::UInt(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// [`Value::Null`] for `None`.
impl<'a, V: Into<Self>> From<Option<V>> for Value<'a> {
    #[inline]
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a, V: Into<Self>> From<Vec<V>> for Value<'a> {
    #[inline]
    fn from(values: Vec<V>) -> Self {
        Self::list(values)
    }
}

macro_rules! numbers {
    ($variant:ident as $wide:ty: $($number:ty)*) => {$(
        impl From<$number> for Value<'_> {
            #[inline]
            fn from(number: $number) -> Self {
                Self::$variant(number as $wide)
            }
        }
    )*};
}

numbers!(Int as i64: i8 i16 i32 i64 isize);
numbers!(UInt as u64: u8 u16 u32 u64 usize);
numbers!(Float as f64: f32 f64);
