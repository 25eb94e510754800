//! W3C baggage (<https://www.w3.org/TR/baggage/>), with the limits of the official clients
//! (dd-trace-go: `ddtrace/tracer/textmap.go`).

use super::lines::HeaderLines;
use super::split::{has, split, split_once, trim};
use super::{Found, Header};
use crate::baggage::Baggage;
use crate::percent;

const BAGGAGE: Header = Header::Baggage;
const MOST_ITEMS: usize = 64;
const MOST_BYTES: usize = 8192;

/// Characters that stand for themselves, beside letters and digits.
const IN_KEYS: [bool; 256] = safe(b"!#$&'*+-.^_`|~");
const IN_VALUES: [bool; 256] = safe(b"!#$&'()*+-./:<>?@[]^_`{|}~");

const fn safe(others: &[u8]) -> [bool; 256] {
    let mut safe = [false; 256];
    let mut byte = 0;
    while byte < safe.len() {
        safe[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        safe[others[at] as usize] = true;
        at += 1;
    }
    safe
}

/// Writes the items that fit, in order.
pub(super) fn inject(items: &Baggage, lines: &mut HeaderLines) {
    if items.is_empty() {
        return;
    }
    let text = lines.begin(BAGGAGE);
    let start = text.len();
    let items = items.iter().map(|(key, value)| (trim(key), trim(value)));
    // Receivers take none at all where one is empty.
    let items = items.filter(|(key, value)| !key.is_empty() && !value.is_empty());
    for (key, value) in items.take(MOST_ITEMS) {
        let before = text.len();
        if before > start {
            text.push(',');
        }
        encode(text, key, &IN_KEYS);
        text.push('=');
        encode(text, value, &IN_VALUES);
        if text.len() - start > MOST_BYTES {
            text.truncate(before);
            break;
        }
    }
    if text.len() == start {
        lines.take_back();
    }
}

/// Reads the items up to the limits; none at all of a header with a mistake. Properties of items are left out.
pub(super) fn extract(headers: &Found<'_>) -> Baggage {
    let Some(text) = headers.list(BAGGAGE) else {
        return Baggage::default();
    };
    let mut items = Baggage::with_room(text.len().min(MOST_BYTES));
    let mut bytes = 0;
    for item in split(&text, b',') {
        bytes += item.len() + 1;
        if items.len() == MOST_ITEMS || bytes > MOST_BYTES + 1 {
            break;
        }
        if read_item(item, &mut items).is_none() {
            return Baggage::default();
        }
    }
    items
}

/// `None` if there is a mistake.
#[inline]
fn read_item(item: &str, items: &mut Baggage) -> Option<()> {
    if has(item, *b";%") {
        return read_encoded(item, items);
    }
    let (key, value) = read_pair(item)?;
    items.set(key, value);
    Some(())
}

#[cold]
fn read_encoded(item: &str, items: &mut Baggage) -> Option<()> {
    let item = split_once(item, b';').map_or(item, |(item, _)| item);
    let (key, value) = read_pair(item)?;
    // Blanks around them would not be written again: two keys must not become one, nor none.
    let (key, value) = (decode(key), decode(value));
    let (key, value) = (key.trim(), value.trim());
    if !key.is_empty() && !value.is_empty() {
        items.set(key, value);
    }
    Some(())
}

#[inline]
fn read_pair(item: &str) -> Option<(&str, &str)> {
    let (key, value) = split_once(item, b'=')?;
    Some((trim(key), trim(value))).filter(|(key, value)| !key.is_empty() && !value.is_empty())
}

#[inline]
fn encode(out: &mut String, text: &str, safe: &[bool; 256]) {
    if text.bytes().all(|byte| safe[usize::from(byte)]) {
        out.push_str(text);
    } else {
        encode_all(out, text, safe);
    }
}

#[cold]
#[inline(never)]
fn encode_all(out: &mut String, text: &str, safe: &[bool; 256]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if safe[usize::from(byte)] {
            out.push(byte.into());
        } else {
            out.push('%');
            out.push(DIGITS[usize::from(byte >> 4)].into());
            out.push(DIGITS[usize::from(byte & 15)].into());
        }
    }
}

/// What can't be decoded stays as it is.
fn decode(text: &str) -> String {
    let bytes: Vec<u8> = percent::decoded(text).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Headers, headers, looked_up, value};
    use super::*;

    fn write(items: &[(String, String)], request: &mut Headers) {
        let mut lines = HeaderLines::default();
        inject(&items.iter().cloned().collect(), &mut lines);
        lines.set(request);
    }

    fn read_from(request: &Headers) -> Headers {
        headers(&extract(&looked_up(request)).iter().collect::<Vec<_>>())
    }

    fn read(text: &str) -> Headers {
        read_from(&headers(&[(BAGGAGE.name(), text)]))
    }

    #[test]
    fn what_is_not_safe_is_encoded() {
        let mut request = Headers::new();
        let items = headers(&[("user id,;=%", " Amélie (1/2) \"x\\y\" ")]);
        write(&items, &mut request);
        assert_eq!(
            value(&request, BAGGAGE.name()),
            Some("user%20id%2C%3B%3D%25=Am%C3%A9lie%20(1/2)%20%22x%5Cy%22")
        );
        assert_eq!(read_from(&request)[0].1, items[0].1.trim());
        write(&[], &mut request);
        assert_eq!(request.len(), 1);
        let items = headers(&[("a", "1"), ("b", ""), (" ", "2"), ("c", " "), ("d", "4")]);
        write(&items, &mut request);
        assert_eq!(value(&request, BAGGAGE.name()), Some("a=1,d=4"));
    }

    #[test]
    fn mistakes_cost_the_whole_header() {
        assert_eq!(
            read("a=1 , b = 2;prop=x;y"),
            headers(&[("a", "1"), ("b", "2")])
        );
        assert_eq!(read("a=1,a=2"), headers(&[("a", "2")]));
        assert_eq!(read("a=%zz%4"), headers(&[("a", "%zz%4")]));
        for bad in ["", "a", "a=1,b", "=1", "a=", "a=1,,b=2", "a=1,"] {
            assert!(read(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn limits_hold_both_ways() {
        let many: Vec<_> = (0..70)
            .map(|at| (format!("k{at}"), "v".to_owned()))
            .collect();
        let mut request = Headers::new();
        write(&many, &mut request);
        assert_eq!(read_from(&request).len(), MOST_ITEMS);
        let all: Vec<String> = (0..70).map(|at| format!("k{at}=v")).collect();
        assert_eq!(read(&all.join(",")).len(), MOST_ITEMS);
        let large: Vec<_> = (0..3)
            .map(|at| (format!("k{at}"), "v".repeat(4000)))
            .collect();
        write(&large, &mut request);
        assert!(value(&request, BAGGAGE.name()).unwrap().len() <= MOST_BYTES);
        assert_eq!(read_from(&request).len(), 2);
        let all: Vec<String> = large
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(read(&all.join(",")).len(), 2);
    }
}
