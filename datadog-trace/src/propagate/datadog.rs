//! Datadog's own headers (dd-trace-go: `ddtrace/tracer/textmap.go`).

use super::lines::HeaderLines;
use super::split::{is_printable, split, split_once, trim_ascii};
use super::{Found, Header, PropagationError, digits};
use crate::carried::{Carried, Outgoing, origin, trace_tag};

const TRACE_ID: Header = Header::TraceId;
const PARENT_ID: Header = Header::ParentId;
const PRIORITY: Header = Header::Priority;
const ORIGIN: Header = Header::Origin;
const TAGS: Header = Header::Tags;

/// Writes the headers. Tags that are together longer than `tags_limit` bytes are left out.
pub(super) fn inject(
    outgoing: &Outgoing<'_>,
    tags_limit: usize,
    lines: &mut HeaderLines,
) -> Option<PropagationError> {
    digits::push_decimal(lines.begin(TRACE_ID), outgoing.trace_id as u64);
    digits::push_decimal(lines.begin(PARENT_ID), outgoing.span_id);
    if let Some(priority) = outgoing.priority {
        digits::push_signed(lines.begin(PRIORITY), priority);
    }
    if let Some(origin) = outgoing.origin
        && is_printable(origin)
    {
        lines.begin(ORIGIN).push_str(origin);
    }
    if tags_limit == 0 {
        return Some("disabled".into());
    }
    let text = lines.begin(TAGS);
    let start = text.len();
    push_tags(text, outgoing);
    let len = text.len() - start;
    if len == 0 || len > tags_limit {
        lines.take_back();
    }
    (len > tags_limit).then_some("inject_max_size".into())
}

fn push_tags(text: &mut String, outgoing: &Outgoing<'_>) {
    let start = text.len();
    outgoing.each_tag(&mut |key, value| {
        if is_tag(key, value) {
            if text.len() > start {
                text.push(',');
            }
            text.push_str(key);
            text.push('=');
            text.push_str(value);
        }
    });
    let high_id = (outgoing.trace_id >> 64) as u64;
    if high_id != 0 {
        if text.len() > start {
            text.push(',');
        }
        text.push_str("_dd.p.tid=");
        digits::push_hex(text, high_id.into(), 16);
    }
}

/// Reads the context into `carried`. `None` if there is none, and then nothing is changed.
pub(super) fn extract(headers: &Found<'_>, tags_limit: usize, carried: &mut Carried) -> Option<()> {
    let id = |name| digits::decimal(trim_ascii(headers.value(name)?));
    let low_id = id(TRACE_ID)?;
    let origin = headers.value(ORIGIN).and_then(origin);
    // Synthetic tests start traces without a span.
    let span_id = id(PARENT_ID).unwrap_or(0);
    if low_id == 0 || (span_id == 0 && origin.is_none()) {
        return None;
    }
    carried.trace_id = low_id.into();
    carried.span_id = span_id;
    carried.priority = headers
        .value(PRIORITY)
        .and_then(|text| trim_ascii(text).parse().ok());
    carried.origin = origin.map(str::to_owned);
    if let Some(tags) = headers.value(TAGS) {
        carried.error = read_tags(carried, trim_ascii(tags), tags_limit).err();
    }
    Some(())
}

/// Takes the tags; those of a header with a mistake are none (dd-trace-go: `ddtrace/tracer/propagating_tags.go`).
fn read_tags(carried: &mut Carried, text: &str, limit: usize) -> Result<(), PropagationError> {
    if limit == 0 || text.is_empty() {
        return Ok(());
    }
    if text.len() > limit {
        return Err("extract_max_size".into());
    }
    let Some(high_id) = read_pairs(carried, text) else {
        carried.tags.clear();
        return Err("decoding_error".into());
    };
    let Some(text) = high_id else { return Ok(()) };
    let high = digits::lower_hex::<16>(text.as_bytes());
    let high = high.ok_or_else(|| format!("malformed_tid {text}"))?;
    carried.trace_id |= high << 64;
    Ok(())
}

/// Takes the tags where they stay: they are large to move. The high half of the trace id, if it is among them; `None` if there
/// is a mistake.
fn read_pairs<'a>(carried: &mut Carried, text: &'a str) -> Option<Option<&'a str>> {
    let mut high_id = None;
    for pair in split(text, b',') {
        let (key, value) =
            split_once(pair, b'=').filter(|(key, value)| !key.is_empty() && !value.is_empty())?;
        match key {
            "_dd.p.tid" => high_id = Some(value),
            "_dd.p.dm" if !is_decision_maker(value) => return None,
            "_dd.p.dm" => carried.tags.push(trace_tag(key, value)),
            // Replaced by `_dd.p.dm`.
            "_dd.p.upstream_services" => {}
            _ if is_tag(key, value) => carried.tags.push(trace_tag(key, value)),
            _ => {}
        }
    }
    Some(high_id)
}

/// Whether a tag may be in the header.
fn is_tag(key: &str, value: &str) -> bool {
    is_key(key)
        && !value.is_empty()
        && is_printable(value)
        && !value.bytes().any(|byte| byte == b',')
}

fn is_key(key: &str) -> bool {
    // Those of almost all traces.
    matches!(key, "_dd.p.dm" | "_dd.p.ksr")
        || (key.starts_with("_dd.p.")
            && is_printable(key)
            && !key.bytes().any(|byte| matches!(byte, b',' | b'=' | b' ')))
}

/// `-` and a number.
pub(super) fn is_decision_maker(value: &str) -> bool {
    let digits = value.strip_prefix('-');
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Headers, headers, looked_up, tags, value};
    use super::*;

    fn write(carried: &Carried, limit: usize, request: &mut Headers) -> Option<PropagationError> {
        let mut lines = HeaderLines::default();
        let error = inject(&carried.outgoing(), limit, &mut lines);
        lines.set(request);
        error
    }

    fn extract(headers: &Found<'_>, tags_limit: usize) -> Option<Carried> {
        let mut carried = Carried::default();
        super::extract(headers, tags_limit, &mut carried).map(|()| carried)
    }

    fn with_tags(tags: &str) -> Carried {
        let request = headers(&[
            (TRACE_ID.name(), "10"),
            (PARENT_ID.name(), "11"),
            (TAGS.name(), tags),
        ]);
        extract(&looked_up(&request), 512).unwrap()
    }

    #[test]
    fn all_headers_are_written_and_read() {
        let carried = Carried {
            trace_id: 5 << 64 | 6,
            span_id: 7,
            priority: Some(-1),
            origin: Some("rum".to_owned()),
            tags: tags(&[
                ("_dd.p.usr.id", "YQ=="),
                ("_dd.p.bad", "a,b"),
                ("other", "x"),
            ]),
            ..Carried::default()
        };
        let mut request = Headers::new();
        assert_eq!(write(&carried, 512, &mut request), None);
        assert_eq!(
            request,
            headers(&[
                (TRACE_ID.name(), "6"),
                (PARENT_ID.name(), "7"),
                (PRIORITY.name(), "-1"),
                (ORIGIN.name(), "rum"),
                (TAGS.name(), "_dd.p.usr.id=YQ==,_dd.p.tid=0000000000000005"),
            ])
        );
        let found = extract(&looked_up(&request), 512).unwrap();
        assert_eq!(found.tags, tags(&[("_dd.p.usr.id", "YQ==")]));
        assert_eq!(
            (found.trace_id, found.priority),
            (carried.trace_id, Some(-1))
        );
    }

    #[test]
    fn tags_have_a_limit() {
        let carried = Carried {
            trace_id: 1,
            span_id: 1,
            tags: tags(&[("_dd.p.a", &"x".repeat(92))]),
            ..Carried::default()
        };
        let mut request = Headers::new();
        assert_eq!(write(&carried, 100, &mut request), None);
        assert!(value(&request, TAGS.name()).is_some());
        assert_eq!(extract(&looked_up(&request), 100).unwrap().tags.len(), 1);
        let found = extract(&looked_up(&request), 99).unwrap();
        assert_eq!(
            (found.tags.len(), found.error.as_deref()),
            (0, Some("extract_max_size"))
        );
        for (limit, error) in [(99, "inject_max_size"), (0, "disabled")] {
            let mut request = Headers::new();
            assert_eq!(write(&carried, limit, &mut request).as_deref(), Some(error));
            assert_eq!(value(&request, TAGS.name()), None);
        }
    }

    #[test]
    fn mistakes_in_tags_do_not_cost_the_trace() {
        for (tags, error) in [
            ("_dd.p.a", "decoding_error"),
            ("_dd.p.a=1,,_dd.p.b=2", "decoding_error"),
            ("_dd.p.a=1,_dd.p.dm=4", "decoding_error"),
            ("_dd.p.a=", "decoding_error"),
        ] {
            let found = with_tags(tags);
            assert_eq!((found.trace_id, found.tags.len()), (10, 0), "{tags}");
            assert_eq!(found.error.as_deref(), Some(error), "{tags}");
        }
        let found = with_tags("_dd.p.tid=1234567890ABCDEF,_dd.p.a=1");
        assert_eq!((found.trace_id, found.tags.len()), (10, 1));
        assert_eq!(
            found.error.as_deref(),
            Some("malformed_tid 1234567890ABCDEF")
        );
        let found =
            with_tags("_dd.p.tid=00000000000000ff,_dd.p.dm=-4,x=1,_dd.p.upstream_services=y");
        assert_eq!(found.trace_id, 255 << 64 | 10);
        assert_eq!(found.tags, tags(&[("_dd.p.dm", "-4")]));
        assert_eq!(found.error, None);
    }

    #[test]
    fn without_valid_ids_there_is_no_trace() {
        for (trace_id, parent_id) in [
            ("0", "1"),
            ("1", "0"),
            ("", "1"),
            ("-1", "1"),
            ("a", "1"),
            ("18446744073709551616", "1"),
        ] {
            let request = headers(&[(TRACE_ID.name(), trace_id), (PARENT_ID.name(), parent_id)]);
            assert_eq!(
                extract(&looked_up(&request), 512),
                None,
                "{trace_id} {parent_id}"
            );
        }
        let synthetic = headers(&[
            (TRACE_ID.name(), "1"),
            (PARENT_ID.name(), "0"),
            (ORIGIN.name(), "synthetics"),
        ]);
        assert_eq!(extract(&looked_up(&synthetic), 512).unwrap().span_id, 0);
    }
}
