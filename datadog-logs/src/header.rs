//! What an entry has before its message. A thread's entries mostly share it, except for the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datadog_transport::context::ActiveSpan;

use crate::correlation::TraceIdForm;
use crate::{Level, encode};

const START: &[u8] = b"{\"timestamp\":";

/// How many digits a time of these centuries has, in seconds.
const SECOND_DIGITS: usize = 10;

/// The header at the beginning of a buffer, and what it was written for.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    level: Level,
    span: Option<(ActiveSpan, TraceIdForm)>,
    second: u64,
    end: usize,
}

impl Header {
    /// Writes a header into an empty buffer. `preamble` is ready-made JSON: `,"key":value` any number of times.
    pub(crate) fn write(
        json: &mut Vec<u8>,
        level: Level,
        preamble: &[u8],
        span: Option<(ActiveSpan, TraceIdForm)>,
    ) -> Self {
        let now = now();
        json.extend_from_slice(START);
        encode::uint(json, now.as_secs() * 1000 + u64::from(now.subsec_millis()));
        json.extend_from_slice(b",\"status\":\"");
        json.extend_from_slice(level.as_str().as_bytes());
        json.push(b'"');
        json.extend_from_slice(preamble);
        if let Some((span, form)) = span {
            ids(json, span, form);
        }
        Self {
            level,
            span,
            second: now.as_secs(),
            end: json.len(),
        }
    }

    /// Puts the time of now into a header that says the rest already, and says where it ends.
    pub(crate) fn renew(
        &mut self,
        json: &mut [u8],
        level: Level,
        span: Option<(ActiveSpan, TraceIdForm)>,
    ) -> Option<usize> {
        let time = json.get_mut(START.len()..self.end)?;
        // As many digits as the time of now has.
        let fits = time.get(SECOND_DIGITS + 3) == Some(&b',');
        if !fits || self.level != level || self.span != span {
            return None;
        }
        let now = now();
        if self.second != now.as_secs() {
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(now.as_secs()).as_bytes();
            if digits.len() != SECOND_DIGITS {
                return None;
            }
            time[..SECOND_DIGITS].copy_from_slice(digits);
            self.second = now.as_secs();
        }
        let millis = now.subsec_millis();
        let digits = [millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8);
        time[SECOND_DIGITS..][..3].copy_from_slice(&digits);
        Some(self.end)
    }
}

fn ids(json: &mut Vec<u8>, span: ActiveSpan, form: TraceIdForm) {
    json.extend_from_slice(b",\"dd.trace_id\":\"");
    if form.is_whole(span.trace_id) {
        encode::hex(json, span.trace_id);
    } else {
        encode::uint(json, span.trace_id as u64);
    }
    json.extend_from_slice(b"\",\"dd.span_id\":\"");
    encode::uint(json, span.span_id);
    json.push(b'"');
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_header_is_the_one_that_would_be_written() {
        let span = ActiveSpan {
            trace_id: 5 << 64,
            span_id: 7,
            local_root_id: 7,
        };
        let span = Some((span, TraceIdForm::Whole));
        let mut old = Vec::new();
        let mut header = Header::write(&mut old, Level::Info, b",\"a\":1", span);
        // As if it were of another time.
        old[START.len()..][..SECOND_DIGITS + 3].fill(b'1');
        header.second = 1_111_111_111;
        loop {
            let mut new = Vec::new();
            assert_eq!(header.renew(&mut old, Level::Info, span), Some(old.len()));
            Header::write(&mut new, Level::Info, b",\"a\":1", span);
            // Not across a change of the millisecond.
            if new == old {
                break;
            }
        }
        assert_eq!(header.renew(&mut old, Level::Error, span), None);
        assert_eq!(header.renew(&mut old, Level::Info, None), None);
    }

    #[test]
    fn a_header_of_another_length_is_not_renewed() {
        let mut json = b"{\"timestamp\":0,\"status\":\"info\",\"a\":1".to_vec();
        let mut header = Header {
            level: Level::Info,
            span: None,
            second: 0,
            end: json.len(),
        };
        assert_eq!(header.renew(&mut json, Level::Info, None), None);
    }
}
