//! B3, in one header and in several (<https://github.com/openzipkin/b3-propagation>).

use super::lines::HeaderLines;
use super::{Found, Header, digits};
use crate::carried::{Carried, Outgoing};

const SINGLE: Header = Header::B3;
const TRACE_ID: Header = Header::B3TraceId;
const SPAN_ID: Header = Header::B3SpanId;
const SAMPLED: Header = Header::B3Sampled;
const FLAGS: Header = Header::B3Flags;

#[inline(never)]
pub(super) fn inject_single(outgoing: &Outgoing<'_>, lines: &mut HeaderLines) {
    let text = lines.begin(SINGLE);
    push_trace_id(text, outgoing.trace_id);
    text.push('-');
    digits::push_hex(text, outgoing.span_id.into(), 16);
    if let Some(priority) = outgoing.priority {
        text.push_str(if priority > 0 { "-1" } else { "-0" });
    }
}

#[inline(never)]
pub(super) fn inject_multi(outgoing: &Outgoing<'_>, lines: &mut HeaderLines) {
    push_trace_id(lines.begin(TRACE_ID), outgoing.trace_id);
    digits::push_hex(lines.begin(SPAN_ID), outgoing.span_id.into(), 16);
    if let Some(priority) = outgoing.priority {
        let text = lines.begin(SAMPLED);
        text.push(if priority > 0 { '1' } else { '0' });
    }
}

/// Reads the context into `carried`. `None` if there is none, and then nothing is changed.
#[inline(never)]
pub(super) fn extract_single(headers: &Found<'_>, carried: &mut Carried) -> Option<()> {
    let mut parts = headers.value(SINGLE)?.trim().split('-');
    let (trace_id, span_id) = (parts.next()?, parts.next()?);
    let priority = match parts.next() {
        None | Some("") => None,
        Some("1" | "d") => Some(1),
        Some("0") => Some(0),
        Some(_) => return None,
    };
    take(carried, trace_id, span_id, priority)
}

/// The same from several headers.
#[inline(never)]
pub(super) fn extract_multi(headers: &Found<'_>, carried: &mut Carried) -> Option<()> {
    let debug = headers.value(FLAGS).map(str::trim) == Some("1");
    let priority = match headers.value(SAMPLED).map(str::trim) {
        _ if debug => Some(1),
        Some("1" | "true") => Some(1),
        Some("0" | "false") => Some(0),
        _ => None,
    };
    take(
        carried,
        headers.value(TRACE_ID)?.trim(),
        headers.value(SPAN_ID)?.trim(),
        priority,
    )
}

fn take(carried: &mut Carried, trace_id: &str, span_id: &str, priority: Option<i32>) -> Option<()> {
    let trace_id = digits::hex(trace_id, 32).filter(|id| *id as u64 != 0)?;
    let span_id = digits::hex(span_id, 16).filter(|id| *id != 0)? as u64;
    carried.trace_id = trace_id;
    carried.span_id = span_id;
    carried.priority = priority;
    Some(())
}

fn push_trace_id(text: &mut String, id: u128) {
    let len = if id > u128::from(u64::MAX) { 32 } else { 16 };
    digits::push_hex(text, id, len);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Headers, headers, looked_up, value};
    use super::*;

    fn write(
        inject: fn(&Outgoing<'_>, &mut HeaderLines),
        carried: &Carried,
        request: &mut Headers,
    ) {
        let mut lines = HeaderLines::default();
        inject(&carried.outgoing(), &mut lines);
        lines.set(request);
    }

    fn extract_single(headers: &Found<'_>) -> Option<Carried> {
        let mut carried = Carried::default();
        super::extract_single(headers, &mut carried).map(|()| carried)
    }

    fn extract_multi(headers: &Found<'_>) -> Option<Carried> {
        let mut carried = Carried::default();
        super::extract_multi(headers, &mut carried).map(|()| carried)
    }

    #[test]
    fn both_forms_are_written_and_read() {
        for (trace_id, priority, text) in [
            (1, Some(2), "0000000000000001-0000000000000009-1"),
            (
                1 << 64 | 1,
                Some(-1),
                "00000000000000010000000000000001-0000000000000009-0",
            ),
            (1, None, "0000000000000001-0000000000000009"),
        ] {
            let carried = Carried {
                trace_id,
                span_id: 9,
                priority,
                ..Carried::default()
            };
            let mut request = Headers::new();
            write(inject_single, &carried, &mut request);
            assert_eq!(value(&request, SINGLE.name()), Some(text));
            let expected = priority.map(|priority| i32::from(priority > 0));
            let found = extract_single(&looked_up(&request)).unwrap();
            assert_eq!(
                (found.trace_id, found.span_id, found.priority),
                (trace_id, 9, expected)
            );
            write(inject_multi, &carried, &mut request);
            assert_eq!(extract_multi(&looked_up(&request)), Some(found));
        }
    }

    #[test]
    fn mistakes_are_no_trace() {
        for bad in [
            "0",
            "1",
            "d",
            "",
            "1-",
            "1-2-3",
            "0-1-1",
            "1-0-1",
            "g-1-1",
            "1-12345678901234567-1",
        ] {
            assert_eq!(
                extract_single(&looked_up(&headers(&[(SINGLE.name(), bad)]))),
                None,
                "{bad}"
            );
        }
        assert_eq!(
            extract_single(&looked_up(&headers(&[(SINGLE.name(), "A-b-d-parent")])))
                .unwrap()
                .priority,
            Some(1)
        );
        let debug = headers(&[
            (TRACE_ID.name(), "1"),
            (SPAN_ID.name(), "2"),
            (SAMPLED.name(), "0"),
            (FLAGS.name(), "1"),
        ]);
        assert_eq!(extract_multi(&looked_up(&debug)).unwrap().priority, Some(1));
        assert_eq!(
            extract_multi(&looked_up(&headers(&[(TRACE_ID.name(), "1")]))),
            None
        );
    }
}
