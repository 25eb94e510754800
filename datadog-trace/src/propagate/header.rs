//! The headers by which processes tell each other of a trace.

/// A header of one of the formats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Header {
    TraceId,
    ParentId,
    Priority,
    Origin,
    Tags,
    TraceParent,
    TraceState,
    Baggage,
    B3,
    B3TraceId,
    B3SpanId,
    B3Sampled,
    B3Flags,
}

impl Header {
    pub(super) const COUNT: usize = 13;

    /// In the order of the headers, those of the formats that are on by default first.
    pub(super) const NAMES: [&'static str; Self::COUNT] = [
        "x-datadog-trace-id",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-datadog-origin",
        "x-datadog-tags",
        "traceparent",
        "tracestate",
        "baggage",
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-sampled",
        "x-b3-flags",
    ];

    #[inline]
    pub(super) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The names of the formats, as far as those are wanted.
    pub(super) fn names(with_b3: bool) -> &'static [&'static str] {
        let all: &'static [&'static str] = &Self::NAMES;
        let count = if with_b3 {
            all.len()
        } else {
            Self::B3 as usize
        };
        all.get(..count).unwrap_or(all)
    }
}
