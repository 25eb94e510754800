//! Ids of traces and spans.

use std::time::{SystemTime, UNIX_EPOCH};

/// A random 64-bit span id, never 0.
pub(crate) fn span_id() -> u64 {
    fastrand::u64(1..)
}

/// A 128-bit trace id: 32 bits of Unix seconds, 32 zero bits, 64 random bits. Datadog's own layout, by which the
/// low half serves tracers that know 64 bits only.
pub(crate) fn trace_id() -> u128 {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs() as u32;
    u128::from(seconds) << 96 | u128::from(span_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_holds_the_time_zeros_and_randomness() {
        let id = trace_id();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(now.abs_diff((id >> 96) as u64) < 5);
        assert_eq!((id >> 64) as u32, 0);
        assert_ne!(id as u64, 0);
        assert_ne!(trace_id() as u64, id as u64);
    }
}
