//! W3C trace context (<https://www.w3.org/TR/trace-context/>), with Datadog's member of `tracestate`
//! (dd-trace-go: `ddtrace/tracer/textmap.go`).

use std::fmt::Write;

use super::{Extract, Inject, hex};
use crate::carried::Carried;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// The longest Datadog member of `tracestate`.
const DATADOG_BYTES: usize = 256;
/// The longest member of another vendor that goes on.
const MEMBER_BYTES: usize = 512;
/// The longest `tracestate`.
const STATE_BYTES: usize = 4096;
/// The most members of `tracestate`.
const MEMBERS: usize = 32;

pub(super) fn inject(carried: &Carried, carrier: &mut impl Inject) {
    let kept = carried.priority.is_some_and(|priority| priority > 0);
    let mut parent = String::with_capacity(55);
    parent.push_str("00-");
    hex::push(&mut parent, carried.trace_id, 32);
    parent.push('-');
    hex::push(&mut parent, carried.span_id.into(), 16);
    parent.push_str(if kept { "-01" } else { "-00" });
    carrier.set(PARENT, parent);
    carrier.set(STATE, state(carried, Some(carried.span_id)));
}

/// The value of `tracestate`. `datadog_span` is the last span of Datadog's before the receiver.
pub(super) fn state(carried: &Carried, datadog_span: Option<u64>) -> String {
    let mut state = String::with_capacity(128);
    let _ = write!(state, "dd=s:{}", carried.priority.unwrap_or(0));
    if let Some(origin) = &carried.origin {
        state.push_str(";o:");
        push_clean(&mut state, origin, |c| {
            ('!'..='~').contains(&c) && !",;~".contains(c)
        });
    }
    if let Some(span_id) = datadog_span {
        state.push_str(";p:");
        hex::push(&mut state, span_id.into(), 16);
    }
    for (key, value) in &carried.tags {
        let before = state.len();
        state.push_str(";t.");
        let key = key.trim_start_matches("_dd.p.");
        push_clean(&mut state, key, |c| {
            ('!'..='~').contains(&c) && !",;:=~".contains(c)
        });
        state.push(':');
        push_clean(&mut state, value, |c| {
            (' '..='~').contains(&c) && !",;~".contains(c)
        });
        if state.len() > DATADOG_BYTES {
            state.truncate(before);
        }
    }
    for member in members(&carried.tracestate).take(MEMBERS - 1) {
        if state.len() + 1 + member.len() > STATE_BYTES {
            break;
        }
        state.push(',');
        state.push_str(member);
    }
    state
}

pub(super) fn extract(carrier: &impl Extract) -> Option<Carried> {
    let (trace_id, span_id, kept) = read_parent(carrier.value(PARENT)?.trim())?;
    let mut carried = Carried {
        trace_id,
        span_id,
        priority: Some(i32::from(kept)),
        ..Carried::default()
    };
    // Several headers count as one (W3C trace context, section 3.3.1).
    let bytes: usize = carrier.values(STATE).map(|text| text.len() + 1).sum();
    if bytes <= STATE_BYTES + 1 {
        for text in carrier.values(STATE) {
            read_state(&mut carried, text);
        }
    }
    Some(carried)
}

/// `version-traceid-spanid-flags`, with more behind it in versions after 00.
fn read_parent(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.split('-');
    let version = hex::lower(parts.next()?, 2)?;
    let trace_id = hex::lower(parts.next()?, 32)?;
    let span_id = hex::lower(parts.next()?, 16)? as u64;
    let flags = hex::lower(parts.next()?, 2)?;
    let more = parts.next().is_some();
    let valid = version != 0xff && !(version == 0 && more) && trace_id != 0 && span_id != 0;
    valid.then_some((trace_id, span_id, flags & 1 == 1))
}

fn read_state(carried: &mut Carried, text: &str) {
    for member in text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']))
    {
        if let Some(ours) = member.strip_prefix("dd=")
            && member.len() <= DATADOG_BYTES
        {
            read_ours(carried, ours);
        }
    }
    for member in members(text) {
        if !carried.tracestate.is_empty() {
            carried.tracestate.push(',');
        }
        carried.tracestate.push_str(member);
    }
}

/// The members that are not Datadog's.
fn members(text: &str) -> impl Iterator<Item = &str> {
    let printable = |member: &str| member.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    text.split(',')
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(move |member| {
            !member.is_empty()
                && !member.starts_with("dd=")
                && member.len() <= MEMBER_BYTES
                && printable(member)
        })
}

fn read_ours(carried: &mut Carried, text: &str) {
    let kept_by_flag = carried.priority.is_some_and(|priority| priority > 0);
    let mut maker = None;
    for (key, value) in text.split(';').filter_map(|pair| pair.split_once(':')) {
        match key {
            "s" => carried.priority = value.parse().ok().or(carried.priority),
            "o" => {
                carried.origin = Some(value.replace('~', "=")).filter(|origin| !origin.is_empty())
            }
            "p" => carried.last_datadog_span = hex::lower(value, 16).map(|id| id as u64),
            "t.dm" => maker = Some(value.to_owned()),
            "t.tid" => {}
            _ => {
                if let Some(key) = key.strip_prefix("t.") {
                    let tag = (format!("_dd.p.{key}"), value.replace('~', "="));
                    carried.tags.push(tag);
                }
            }
        }
    }
    // Where the flag and Datadog's priority differ, the flag was set last.
    let kept = carried.priority.is_some_and(|priority| priority > 0);
    if kept != kept_by_flag {
        carried.priority = Some(i32::from(kept_by_flag));
        maker = kept_by_flag.then(|| "-0".to_owned());
    }
    carried
        .tags
        .extend(maker.map(|maker| ("_dd.p.dm".to_owned(), maker)));
}

/// Appends a text with `=` as `~`, and each run of characters that do not fit as one `_`.
fn push_clean(out: &mut String, text: &str, fits: impl Fn(char) -> bool) {
    let mut in_run = false;
    for c in text.chars() {
        let replaced = !fits(c);
        match c {
            '=' => out.push('~'),
            _ if !replaced => out.push(c),
            _ if !in_run => out.push('_'),
            _ => {}
        }
        in_run = replaced && c != '=';
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Headers, headers, value};
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(parent: &str, state: &str) -> Option<Carried> {
        extract(&headers(&[(PARENT, parent), (STATE, state)]))
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
        let twice = headers(&[(PARENT, VALID), (PARENT, VALID)]);
        assert_eq!(extract(&twice), None);
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
            headers(&[("_dd.p.usr.id", "baz64=="), ("_dd.p.dm", "-4")])
        );
        assert_eq!(found.tracestate, "a=1,b=2");
        let several = headers(&[(PARENT, VALID), (STATE, "a=1"), (STATE, "dd=s:-1,b=2")]);
        let found = extract(&several).unwrap();
        assert_eq!((&*found.tracestate, found.priority), ("a=1,b=2", Some(1)));
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
            tags: headers(&[
                ("_dd.p.k y=", "v,;~=w"),
                ("_dd.p.long", &"x".repeat(250)),
                ("_dd.p.z", "1"),
            ]),
            tracestate: format!("dd=s:1,one=1,,{}", "two=2,".repeat(40)),
            ..Carried::default()
        };
        let mut request = Headers::new();
        inject(&carried, &mut request);
        assert_eq!(
            value(&request, PARENT),
            Some("00-00000000000000000000000000000001-0000000000000002-01")
        );
        let state = value(&request, STATE).unwrap();
        let ours = "dd=s:2;o:a_b_c_d~e_f;p:0000000000000002;t.k_y~:v_~w;t.z:1,one=1,two=2";
        assert!(state.starts_with(ours), "{state}");
        assert_eq!(state.split(',').count(), 32);
    }
}
