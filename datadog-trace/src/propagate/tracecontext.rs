//! W3C trace context (<https://www.w3.org/TR/trace-context/>), with Datadog's member of `tracestate`
//! (dd-trace-go: `ddtrace/tracer/textmap.go`).

use super::datadog::is_decision_maker;
use super::lines::HeaderLines;
use super::split::{is_printable, split, split_once, trim_ascii};
use super::{Found, Header, PropagationError, digits};
use crate::carried::{Carried, Outgoing, origin, trace_tag};
use crate::sample::otel;

const PARENT: Header = Header::TraceParent;
const STATE: Header = Header::TraceState;

/// The longest Datadog member of `tracestate`.
const DATADOG_BYTES: usize = 256;
/// The longest member of another vendor that goes on.
const MEMBER_BYTES: usize = 512;
/// The longest `tracestate`.
const STATE_BYTES: usize = 4096;
/// The most members of `tracestate`.
const MEMBERS: usize = 32;

pub(super) fn inject(outgoing: &Outgoing<'_>, lines: &mut HeaderLines) {
    let kept = outgoing.priority.is_some_and(|priority| priority > 0);
    let parent = lines.begin(PARENT);
    parent.push_str("00-");
    digits::push_hex(parent, outgoing.trace_id, 32);
    parent.push('-');
    digits::push_hex(parent, outgoing.span_id.into(), 16);
    parent.push_str(if kept { "-01" } else { "-00" });
    push_state(lines.begin(STATE), outgoing, Some(outgoing.span_id));
}

/// The value of `tracestate` for a context that was read.
pub(crate) fn state(carried: &Carried) -> String {
    let mut state = String::new();
    push_state(&mut state, &carried.outgoing(), carried.last_datadog_span);
    state
}

/// Appends the value of `tracestate`. `datadog_span` is the last span of Datadog's before the receiver.
fn push_state(state: &mut String, outgoing: &Outgoing<'_>, datadog_span: Option<u64>) {
    let start = state.len();
    state.push_str("dd=s:");
    digits::push_signed(state, outgoing.priority.unwrap_or(0));
    if let Some(origin) = outgoing.origin {
        state.push_str(";o:");
        push_clean(state, origin, |byte| {
            byte.is_ascii_graphic() && !b",;~".contains(&byte)
        });
    }
    if let Some(span_id) = datadog_span {
        state.push_str(";p:");
        digits::push_hex(state, span_id.into(), 16);
    }
    outgoing.each_tag(&mut |key, value| {
        let before = state.len();
        match key {
            // Those of almost all traces.
            "_dd.p.dm" => state.push_str(";t.dm:"),
            "_dd.p.ksr" => state.push_str(";t.ksr:"),
            _ => {
                state.push_str(";t.");
                push_clean(state, key.strip_prefix("_dd.p.").unwrap_or(key), |byte| {
                    byte.is_ascii_graphic() && !b",;:=~".contains(&byte)
                });
                state.push(':');
            }
        }
        push_clean(state, value, |byte| {
            (b' '..=b'~').contains(&byte) && !b",;~".contains(&byte)
        });
        if state.len() - start > DATADOG_BYTES {
            state.truncate(before);
        }
    });
    push_others(state, start, outgoing);
}

/// Appends other vendors' members, with OpenTelemetry's sampling member for a decision that was made here.
fn push_others(state: &mut String, start: usize, outgoing: &Outgoing<'_>) {
    let mut room = MEMBERS - 1;
    let rate = outgoing.decision.and_then(|decision| decision.probability);
    if let Some(rate) = rate.filter(|rate| *rate > 0.0)
        && !members(outgoing.tracestate).any(|member| member.starts_with("ot="))
    {
        state.push(',');
        otel::push_member(state, outgoing.trace_id as u64, rate);
        room -= 1;
    }
    if outgoing.tracestate.is_empty() {
        return;
    }
    for member in members(&outgoing.others()).take(room) {
        if state.len() - start + 1 + member.len() > STATE_BYTES {
            break;
        }
        state.push(',');
        state.push_str(member);
    }
}

/// What `traceparent` says.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    pub(super) trace_id: u128,
    span_id: u64,
    is_kept: bool,
}

pub(super) fn parent(headers: &Found<'_>) -> Option<Parent> {
    read_parent(trim_ascii(headers.value(PARENT)?))
}

/// Reads the context into `carried`. `None` if there is none, and then nothing is changed.
#[inline(never)]
pub(super) fn extract(headers: &Found<'_>, carried: &mut Carried) -> Option<()> {
    let Parent {
        trace_id,
        span_id,
        is_kept,
    } = parent(headers)?;
    carried.trace_id = trace_id;
    carried.span_id = span_id;
    carried.priority = Some(i32::from(is_kept));
    carried.tracestate = read_state(headers, &mut |ours| read_ours(carried, ours));
    Some(())
}

/// Adds to a context of the same trace what it does not know: other vendors' state, and the parent, which a proxy
/// without Datadog may have changed.
pub(super) fn learn(carried: &mut Carried, headers: &Found<'_>, parent: Parent) {
    let known = carried.span_id;
    if parent.span_id == known {
        carried.tracestate = read_state(headers, &mut |_| ());
        return;
    }
    let mut last = None;
    carried.tracestate = read_state(headers, &mut |ours| last = last_span(ours).unwrap_or(last));
    carried.last_datadog_span = last.or(Some(known));
    carried.span_id = parent.span_id;
}

/// `version-traceid-spanid-flags`, with more behind it in versions after 00.
fn read_parent(text: &str) -> Option<Parent> {
    let (parent, more) = text.as_bytes().split_first_chunk::<55>()?;
    let [v0, v1, b'-', .., b'-', f0, f1] = *parent else {
        return None;
    };
    let trace_id = digits::lower_hex::<32>(&parent[3..35])?;
    let span_id = digits::lower_hex::<16>(&parent[36..52])? as u64;
    // The version and the flags at once.
    let short = digits::lower_hex::<8>(&[b'0', b'0', b'0', b'0', v0, v1, f0, f1])?;
    let (version, flags) = (short >> 8, short & 0xff);
    if parent[35] != b'-' || more.first().is_some_and(|mark| *mark != b'-') {
        return None;
    }
    let is_longer = !more.is_empty();
    let valid = version != 0xff && !(version == 0 && is_longer) && trace_id != 0 && span_id != 0;
    valid.then_some(Parent {
        trace_id,
        span_id,
        is_kept: flags & 1 == 1,
    })
}

/// Gives Datadog's members to `read_ours`. The others, as they came.
#[inline(never)]
fn read_state(headers: &Found<'_>, read_ours: &mut dyn FnMut(&str)) -> String {
    let mut others = String::new();
    let text = headers.list(STATE).unwrap_or_default();
    if text.len() > STATE_BYTES {
        return others;
    }
    for member in split(&text, b',').map(trimmed) {
        if let Some(ours) = member.strip_prefix("dd=") {
            if member.len() <= DATADOG_BYTES {
                read_ours(ours);
            }
        } else if is_member(member) {
            if !others.is_empty() {
                others.push(',');
            }
            others.push_str(member);
        }
    }
    others
}

/// The members that are not Datadog's.
fn members(text: &str) -> impl Iterator<Item = &str> {
    let members = split(text, b',').map(trimmed);
    members.filter(|member| !member.starts_with("dd=") && is_member(member))
}

fn is_member(text: &str) -> bool {
    !text.is_empty() && text.len() <= MEMBER_BYTES && is_printable(text)
}

fn trimmed(text: &str) -> &str {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = text.as_bytes();
    if is_blank(bytes.first()) || is_blank(bytes.last()) {
        return trimmed_of_blanks(text);
    }
    text
}

#[cold]
#[inline(never)]
fn trimmed_of_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The last span of Datadog's, if a member tells of it.
fn last_span(ours: &str) -> Option<Option<u64>> {
    let spans = split(ours, b';').filter_map(|pair| pair.strip_prefix("p:"));
    spans.last().map(span_id)
}

fn span_id(text: &str) -> Option<u64> {
    digits::lower_hex::<16>(text.as_bytes()).map(|id| id as u64)
}

fn read_ours(carried: &mut Carried, text: &str) {
    let kept_by_flag = carried.priority.is_some_and(|priority| priority > 0);
    let mut maker = None;
    for (key, value) in split(text, b';').filter_map(|pair| split_once(pair, b':')) {
        match key {
            "p" => carried.last_datadog_span = span_id(value),
            "s" => carried.priority = value.parse().ok().or(carried.priority),
            "o" => carried.origin = origin(value).map(|origin| origin.replace('~', "=")),
            // Another text would make the header that it goes on in one with a mistake, and its other tags be lost.
            "t.dm" => maker = Some(value).filter(|maker| is_decision_maker(maker)),
            "t.tid" => carried.error = tid_error(carried.trace_id, value),
            "t.ksr" => carried.tags.push(trace_tag("_dd.p.ksr", value)),
            _ => {
                if let Some(key) = key.strip_prefix("t.") {
                    let tag = (
                        format!("_dd.p.{key}").into(),
                        value.replace('~', "=").into(),
                    );
                    carried.tags.push(tag);
                }
            }
        }
    }
    // Where the flag and Datadog's priority differ, the flag was set last.
    let kept = carried.priority.is_some_and(|priority| priority > 0);
    if kept != kept_by_flag {
        carried.priority = Some(i32::from(kept_by_flag));
        maker = kept_by_flag.then_some("-0");
    }
    carried
        .tags
        .extend(maker.map(|maker| trace_tag("_dd.p.dm", maker)));
}

/// The high half of the trace id stands in the parent too, which counts (dd-trace-java:
/// `dd-trace-core/src/main/java/datadog/trace/core/propagation/ptags/PTagsFactory.java`).
fn tid_error(trace_id: u128, tid: &str) -> Option<PropagationError> {
    match digits::lower_hex::<16>(tid.as_bytes()) {
        None => Some(format!("malformed_tid {tid}").into()),
        Some(high) if high != trace_id >> 64 => Some(format!("inconsistent_tid {tid}").into()),
        Some(_) => None,
    }
}

/// Appends a text with `=` as `~`, and each run of characters that do not fit as one `_`.
#[inline]
fn push_clean(out: &mut String, text: &str, fits: impl Fn(u8) -> bool) {
    if text.bytes().all(|byte| fits(byte) && byte != b'=') {
        out.push_str(text);
    } else {
        push_cleaned(out, text, &fits);
    }
}

#[cold]
#[inline(never)]
fn push_cleaned(out: &mut String, text: &str, fits: &dyn Fn(u8) -> bool) {
    let mut in_run = false;
    for byte in text.bytes() {
        let replaced = byte != b'=' && !fits(byte);
        match byte {
            b'=' => out.push('~'),
            _ if !replaced => out.push(byte.into()),
            _ if !in_run => out.push('_'),
            _ => {}
        }
        in_run = replaced;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Headers, headers, looked_up, tags, value};
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn extract(headers: &Found<'_>) -> Option<Carried> {
        let mut carried = Carried::default();
        super::extract(headers, &mut carried).map(|()| carried)
    }

    fn read(parent: &str, state: &str) -> Option<Carried> {
        let request = headers(&[(PARENT.name(), parent), (STATE.name(), state)]);
        extract(&looked_up(&request))
    }

    #[test]
    fn bad_parents_are_no_parents() {
        assert!(read(VALID, "").is_some());
        assert!(read(&format!(" {VALID} "), "").is_some());
        assert!(read(&format!("cc{}-more", &VALID[2..]), "").is_some());
        for bad in [
            "",
            &VALID[..54],
            &format!("{VALID}-more"),
            &format!("{VALID}-"),
            &format!("{VALID}0"),
            &format!("ff{}", &VALID[2..]),
            &format!("0x{}", &VALID[2..]),
            &format!("cc{}.", &VALID[2..]),
            &VALID.to_uppercase(),
            &VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &VALID.replace("b7ad6b7169203331", &"0".repeat(16)),
            &VALID.replace("0af", "0ag"),
            &VALID.replace("-01", "-0."),
        ] {
            assert_eq!(read(bad, ""), None, "{bad}");
        }
        let twice = headers(&[(PARENT.name(), VALID), (PARENT.name(), VALID)]);
        assert_eq!(extract(&looked_up(&twice)), None);
    }

    #[test]
    fn the_state_tells_what_the_parent_does_not() {
        let found = read(
            VALID,
            "a=1, dd=s:2;o:rum~x;p:00f067aa0ba902b7;t.dm:-4;t.usr.id:baz64~~ ,b=2",
        )
        .unwrap();
        assert_eq!(
            (found.priority, found.origin.as_deref()),
            (Some(2), Some("rum=x"))
        );
        assert_eq!(found.last_datadog_span, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(
            found.tags,
            tags(&[("_dd.p.usr.id", "baz64=="), ("_dd.p.dm", "-4")])
        );
        assert_eq!(found.tracestate, "a=1,b=2");
        let several = headers(&[
            (PARENT.name(), VALID),
            (STATE.name(), "a=1"),
            (STATE.name(), "dd=s:-1,b=2"),
        ]);
        let found = extract(&looked_up(&several)).unwrap();
        assert_eq!((&*found.tracestate, found.priority), ("a=1,b=2", Some(1)));
    }

    #[test]
    fn a_maker_that_is_none_does_not_go_on() {
        for maker in ["4", "-", "-x", "-4~", ""] {
            let found = read(VALID, &format!("dd=s:2;t.dm:{maker};t.usr.id:a")).unwrap();
            assert_eq!(found.tags, tags(&[("_dd.p.usr.id", "a")]), "{maker}");
        }
    }

    #[test]
    fn the_parents_id_counts_and_another_one_is_noted() {
        for (tid, error) in [
            ("0af7651916cd43dd", None),
            (
                "0af7651916cd43de",
                Some("inconsistent_tid 0af7651916cd43de"),
            ),
            ("0AF7", Some("malformed_tid 0AF7")),
        ] {
            let found = read(VALID, &format!("dd=s:1;t.tid:{tid}")).unwrap();
            assert_eq!(found.trace_id >> 64, 0x0af7_6519_16cd_43dd);
            assert_eq!(found.error.as_deref(), error);
            assert!(found.tags.is_empty());
        }
    }

    #[test]
    fn the_flag_wins_over_the_priority() {
        let dropped = VALID.replace("-01", "-00");
        for (parent, state, priority, maker) in [
            (VALID, "dd=s:2;t.dm:-4", 2, Some("-4")),
            (VALID, "dd=s:0;t.dm:-4", 1, Some("-0")),
            (VALID, "dd=s:x;t.dm:-4", 1, Some("-4")),
            (VALID, "dd=t.dm:-4", 1, Some("-4")),
            (&*dropped, "dd=s:-1", -1, None),
            (&*dropped, "dd=s:2;t.dm:-4", 0, None),
            (VALID, "", 1, None),
            (VALID, "dd=s:2;t.dm:-4,dd=s:2", 2, Some("-4")),
        ] {
            let found = read(parent, state).unwrap();
            let tag = found.tags.iter().find(|(key, _)| key == "_dd.p.dm");
            assert_eq!(
                (found.priority, tag.map(|(_, value)| &**value)),
                (Some(priority), maker),
                "{parent} {state}"
            );
        }
    }

    #[test]
    fn what_is_written_is_clean() {
        let carried = Carried {
            trace_id: 1,
            span_id: 2,
            priority: Some(2),
            origin: Some("a,b;c~d=e é\u{1}f".to_owned()),
            tags: tags(&[
                ("_dd.p.k y=", "v,;~=w"),
                ("_dd.p.long", &"x".repeat(250)),
                ("_dd.p.z", "1"),
            ]),
            tracestate: format!("dd=s:1,one=1,,{}", "two=2,".repeat(40)),
            ..Carried::default()
        };
        let mut request = Headers::new();
        let mut lines = HeaderLines::default();
        inject(&carried.outgoing(), &mut lines);
        lines.set(&mut request);
        assert_eq!(
            value(&request, PARENT.name()),
            Some("00-00000000000000000000000000000001-0000000000000002-01")
        );
        let state = value(&request, STATE.name()).unwrap();
        let ours = "dd=s:2;o:a_b_c_d~e_f;p:0000000000000002;t.k_y~:v_~w;t.z:1,one=1,two=2";
        assert!(state.starts_with(ours), "{state}");
        assert_eq!(state.split(',').count(), 32);
    }
}
