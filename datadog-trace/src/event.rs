//! Events within a span.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// Something that happened at one moment within a span, such as an exception that was handled.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpanEvent {
    /// What happened.
    pub name: Cow<'static, str>,
    /// When.
    pub time: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(Cow<'static, str>, EventValue)>,
}

/// The value of an event's attribute.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventValue {
    /// Text.
    Text(Cow<'static, str>),
    /// Truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Double(f64),
    /// Several values, none of them a list itself: such are left out.
    List(Vec<Self>),
}

impl SpanEvent {
    /// An event that happens now.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            time: SystemTime::now(),
            attributes: Vec::new(),
        }
    }

    /// Sets when it happened.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.time = time;
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(
        mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<EventValue>,
    ) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// About how many bytes it occupies.
    pub(crate) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes: usize = attributes
            .map(|(key, value)| key.len() + 24 + value.bytes())
            .sum();
        size_of::<Self>() + self.name.len() + attributes
    }
}

impl EventValue {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::List(values) => values.iter().map(Self::bytes).sum(),
                _ => 0,
            }
    }
}

/// The latest time that the agent takes: it refuses a whole payload for a later one (datadog-agent:
/// `pkg/proto/pbgo/trace/decoder_bytes.go`, parseInt64Bytes).
const LATEST: u64 = i64::MAX as u64;

/// Nanoseconds since the Unix epoch; 0 before it.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).map_or(LATEST, |nanos| nanos.min(LATEST))
}

impl From<&'static str> for EventValue {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for EventValue {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<bool> for EventValue {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<f64> for EventValue {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl<T: Into<Self>> From<Vec<T>> for EventValue {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

macro_rules! whole_numbers {
    ($($number:ty)*) => {$(
        impl From<$number> for EventValue {
            fn from(number: $number) -> Self {
                Self::Int(number.into())
            }
        }
    )*};
}

whole_numbers!(i8 i16 i32 i64 u8 u16 u32);
