//! URLs of requests: who asks, and if the agent says so also what for (datadog-agent: `pkg/obfuscate/http.go`).
//!
//! The agent does the same to what it gets, so what is made here must become the same there. That is why a path's
//! digits are left to it where it removes queries too: what stands for them would begin a query.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::percent;

/// What stands for a part, and for a whole URL that can't be read.
const HIDDEN: &str = "?";

/// Characters that may stand for themselves, or not.
const MARKS: &str = "!'()*";

/// The URL without user and password, and if that is asked for without the query, or without the parts of the path that
/// have digits. `None` if that is the same.
pub(crate) fn obfuscate(url: &str, remove_query: bool, remove_digits: bool) -> Option<String> {
    let head = &url[..url.find('#').unwrap_or(url.len())];
    let query = head.find('?');
    let front = &head[..query.unwrap_or(head.len())];
    let scheme = scheme_length(front);
    if is_broken(head, front, scheme) {
        if remove_query || remove_digits {
            return Some(HIDDEN.to_owned()).filter(|hidden| hidden != url);
        }
        let start = front.find("//").map_or(front.len(), |at| at + 2);
        return without_user(url, front, start);
    }
    let authority = front[scheme..].starts_with("//").then_some(scheme + 2);
    let mut hidden = authority
        .and_then(|start| without_user(url, front, start))
        .map_or(Cow::Borrowed(url), Cow::Owned);
    if remove_query && query.is_some_and(|at| at + 1 < head.len()) {
        let end = hidden.find('#').unwrap_or(hidden.len());
        let start = hidden.find('?').map_or(end, |at| at + 1);
        hidden.to_mut().replace_range(start..end, "");
    } else if remove_digits && !remove_query && (authority.is_some() || scheme == 0) {
        let end = hidden.find(['?', '#']).unwrap_or(hidden.len());
        let from = authority.unwrap_or(0);
        let path = hidden[from..end].find('/').map(|at| from + at);
        let path = if authority.is_some() { path } else { Some(0) };
        let start = path.unwrap_or(end);
        let mut bytes = front.bytes();
        let all = bytes.any(|byte| !byte.is_ascii() || is_escaped(byte));
        if let Some(path) = without_digits(&hidden[start..end], all) {
            let mut out = String::with_capacity(end);
            write_host(&mut out, &hidden[from..start], all);
            out.push_str(&path);
            hidden.to_mut().replace_range(from..end, &out);
        }
    }
    match hidden {
        Cow::Borrowed(_) => None,
        Cow::Owned(hidden) => Some(hidden),
    }
}

/// How many bytes a scheme and its colon have, if there is one (RFC 3986, section 3.1).
fn scheme_length(front: &str) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let length = front.bytes().take_while(|byte| is_part(byte)).count();
    let begins = front.starts_with(|first: char| first.is_ascii_alphabetic());
    if begins && front[length..].starts_with(':') {
        length + 1
    } else {
        0
    }
}

/// Whether the agent can't read it.
fn is_broken(head: &str, front: &str, scheme: usize) -> bool {
    let first_part = front.split('/').next().unwrap_or_default();
    let escapes = front.split('%').skip(1);
    let mut escapes = escapes.map(|rest| rest.as_bytes().get(..2));
    head.bytes().any(|byte| byte.is_ascii_control())
        || (scheme == 0 && first_part.contains(':'))
        || escapes.any(|digits| !digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)))
}

/// The URL without what stands before the host that begins at `start`.
fn without_user(url: &str, front: &str, start: usize) -> Option<String> {
    let authority = front[start..].split('/').next()?;
    let user = authority.rfind('@')? + 1;
    Some([&url[..start], &url[start + user..]].concat())
}

/// The path with something in place of each part that has a digit, and then written as the agent writes such a path.
/// `all`: as it writes a URL in which something never stands for itself.
fn without_digits(path: &str, all: bool) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut found = false;
    for (number, part) in path.split('/').enumerate() {
        if number > 0 {
            out.push('/');
        }
        if percent::decoded(part).any(|byte| byte.is_ascii_digit()) {
            found = true;
            out.push_str(HIDDEN);
        } else {
            write_part(&mut out, part, all);
        }
    }
    found.then_some(out)
}

/// Writes what stands before a path that was changed.
fn write_host(out: &mut String, host: &str, all: bool) {
    for letter in host.chars() {
        if all && MARKS.contains(letter) {
            let _ = write!(out, "%{:02X}", letter as u32);
        } else {
            out.push(letter);
        }
    }
}

/// Writes a part of a path as Go's `url.URL.EscapedPath` does, if the path was changed.
fn write_part(out: &mut String, part: &str, all: bool) {
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let escape = rest.get(..3).filter(|_| first == '%');
        let byte = escape.and_then(|escape| u8::from_str_radix(&escape[1..], 16).ok());
        if let (Some(escape), Some(byte)) = (escape, byte) {
            if byte.is_ascii_alphanumeric() || b"._~".contains(&byte) {
                out.push(byte.into());
            } else {
                out.push_str(escape);
            }
            rest = &rest[3..];
            continue;
        }
        let is_coded = !first.is_ascii()
            || is_escaped(first as u8)
            || "[]".contains(first)
            || (all && MARKS.contains(first));
        let (letter, after) = rest.split_at(first.len_utf8());
        if is_coded {
            for byte in letter.bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push_str(letter);
        }
        rest = after;
    }
}

/// Whether a byte never stands for itself.
fn is_escaped(byte: u8) -> bool {
    b"\\^{}|<>` \"".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_always_go_and_the_rest_as_it_is_asked_for() {
        for (url, query, digits, hidden) in [
            (
                "http://me:secret@shop/1?q=2#top",
                false,
                false,
                "http://shop/1?q=2#top",
            ),
            (
                "http://me:secret@shop/1?q=2#top",
                true,
                false,
                "http://shop/1?#top",
            ),
            (
                "http://me@shop/a1/b/%31?q=2",
                false,
                true,
                "http://shop/?/b/??q=2",
            ),
            ("http://me@shop/a1/b?q=2", true, true, "http://shop/a1/b?"),
            ("//me@shop", false, false, "//shop"),
            ("a1/b c", false, true, "?/b%20c"),
            ("//(h)/1 ", false, true, "//%28h%29/?"),
            ("//(h)/1", false, true, "//(h)/?"),
            ("1http://me@shop/", false, false, "1http://shop/"),
            ("1http://me@shop/", true, false, "?"),
            ("http://shop/a\nb", false, true, "?"),
            ("/%zz/1", false, true, "?"),
        ] {
            assert_eq!(
                obfuscate(url, query, digits).as_deref(),
                Some(hidden),
                "{url}"
            );
        }
        for url in [
            "",
            "?",
            "http://shop/1?q=2#3",
            "/a@b",
            "mailto:me@shop",
            "http://shop/x?a@b",
        ] {
            assert_eq!(obfuscate(url, false, false), None, "{url}");
        }
        for url in ["", "?", "http://shop/a?", "http://h1:80/a?q=2", "mailto:a1"] {
            assert_eq!(obfuscate(url, false, true), None, "{url}");
        }
    }
}
