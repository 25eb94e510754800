//! JSON, appended to a buffer.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use crate::Value;
use crate::redact::{REDACTED, Redaction};

/// What is left of a text that was cut ends with this mark, as the agent's does
/// (datadog-agent: `pkg/logs/message`).
pub(crate) const MARK: &str = "...TRUNCATED...";

/// The longest text that is read, in bytes: no entry may be larger.
pub(crate) const MAX_TEXT: usize = crate::draft::MAX_ENTRY;

/// Up to this length, in bytes, a text is copied before it is known whether it needs an escape.
const SHORT: usize = 128;

/// A value, without the parts that `redaction` hides.
pub(crate) fn value(out: &mut Vec<u8>, value: &Value<'_>, redaction: &Redaction) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => int(out, *number),
        Value::UInt(number) => uint(out, *number),
        Value::Float(number) => float(out, *number),
        Value::Text(content) => text(out, &redaction.scrub(content)),
        Value::List(values) => list(out, values, redaction),
        Value::Map(values) => {
            out.push(b'{');
            for (at, (key, inner)) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                text(out, key);
                out.push(b':');
                if redaction.hides(key) {
                    text(out, REDACTED);
                } else {
                    self::value(out, inner, redaction);
                }
            }
            out.push(b'}');
        }
    }
}

fn list(out: &mut Vec<u8>, values: &[Value<'_>], redaction: &Redaction) {
    out.push(b'[');
    for (at, inner) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        value(out, inner, redaction);
    }
    out.push(b']');
}

/// A quoted text, cut at [`MAX_TEXT`].
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    out.push(b'"');
    // Most texts are short, and need neither an escape nor a cut.
    if text.len() <= SHORT && push_plain(out, text.as_bytes()) {
        out.push(b'"');
    } else {
        out.truncate(start);
        quoted(out, |escaping| escaping.push(text));
    }
}

/// `,"name":`
pub(crate) fn key(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    text(out, name);
    out.push(b':');
}

/// What `content` displays as a quoted text, without the parts that `redaction` replaces, cut at [`MAX_TEXT`].
pub(crate) fn display(out: &mut Vec<u8>, content: fmt::Arguments<'_>, redaction: &Redaction) {
    match content.as_str() {
        Some(content) => text(out, &redaction.scrub(content)),
        // A rule has to see the whole text.
        None if redaction.has_rules() => {
            let mut whole = String::new();
            let _ = whole.write_fmt(content);
            text(out, &redaction.scrub(&whole));
        }
        // An error means that a `Display` of the caller's gave up; what it wrote before stays.
        None => quoted(out, |escaping| {
            let _ = escaping.write_fmt(content);
        }),
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Escaping<'_>)) {
    out.push(b'"');
    let mut escaping = Escaping {
        out,
        left: MAX_TEXT,
        cut: false,
    };
    write(&mut escaping);
    if escaping.cut {
        out.extend_from_slice(MARK.as_bytes());
    }
    out.push(b'"');
}

pub(crate) fn uint(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `Debug` has an exponent where that is shorter, and so never hundreds of digits; all its forms are JSON.
fn float(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        let _ = write!(out, "{number:?}");
    } else {
        let _ = write!(out, "\"{number}\"");
    }
}

/// 128 bits as 32 hexadecimal digits.
pub(crate) fn hex(out: &mut Vec<u8>, number: u128) {
    let mut digits = [[0; 2]; 16];
    for (pair, byte) in digits.iter_mut().zip(number.to_be_bytes()) {
        *pair = [byte >> 4, byte & 15].map(|half| HEX_DIGITS[usize::from(half)]);
    }
    out.extend_from_slice(digits.as_flattened());
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Takes text in pieces.
struct Escaping<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
    cut: bool,
}

impl Escaping<'_> {
    fn push(&mut self, text: &str) {
        let fitting = &text[..floor_char_boundary(text, self.left)];
        self.cut |= fitting.len() < text.len();
        // Nothing more after a cut.
        self.left = if self.cut {
            0
        } else {
            self.left - fitting.len()
        };
        escape(self.out, fitting);
    }
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

fn floor_char_boundary(text: &str, limit: usize) -> usize {
    if text.len() <= limit {
        return text.len();
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// JSON demands an escape for quotes, backslashes and control characters (RFC 8259, section 7).
fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(word) = rest.first_chunk::<8>() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special == 0 {
            let plain = 8 + plain_words(&rest[8..]);
            out.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
            continue;
        }
        let at = special.trailing_zeros() as usize / 8;
        // To copy all eight bytes takes less time than to copy as many as are wanted.
        let end = out.len() + at;
        out.extend_from_slice(word);
        out.truncate(end);
        escaped(out, word[at]);
        rest = &rest[at + 1..];
    }
    for &byte in rest {
        if needs_escape(byte) {
            escaped(out, byte);
        } else {
            out.push(byte);
        }
    }
}

/// A byte that needs an escape.
fn escaped(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' | b'\\' => byte,
        _ => {
            let digit = |half: u8| HEX_DIGITS[usize::from(half)];
            let escape = [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)];
            return out.extend_from_slice(&escape);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// How many bytes there are in the whole words before the first that needs an escape.
fn plain_words(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let is_special = |word: &[u8; 8]| special_bytes(u64::from_le_bytes(*word)) != 0;
    8 * words.iter().position(is_special).unwrap_or(words.len())
}

/// Appends bytes word by word; for so few, that takes less time than a call that copies. Whether none needs an escape:
/// otherwise what was appended means nothing.
fn push_plain(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let end = out.len() + bytes.len();
    let mut special = 0;
    if let Some(last) = bytes.last_chunk::<8>() {
        for word in bytes.as_chunks::<8>().0 {
            special |= special_bytes(u64::from_le_bytes(*word));
            out.extend_from_slice(word);
        }
        // It may overlap the one before.
        special |= special_bytes(u64::from_le_bytes(*last));
        out.truncate(end - last.len());
        out.extend_from_slice(last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let half = |four: &[u8; 4]| u64::from(u32::from_le_bytes(*four));
        special = special_bytes(half(first) | half(last) << 32);
        out.extend_from_slice(first);
        out.truncate(end - last.len());
        out.extend_from_slice(last);
    } else {
        for &byte in bytes {
            special |= u64::from(needs_escape(byte));
            out.push(byte);
        }
    }
    special == 0
}

fn needs_escape(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\')
}

/// Sets the highest bit of the first byte of `word` that needs an escape. What is set above it means nothing,
/// because the subtractions borrow from there.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHEST: u64 = ONES << 7;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & HIGHEST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Miri takes a thousand times as long for each.
    const STEP: usize = if cfg!(miri) { 11 } else { 1 };

    #[test]
    fn every_byte_at_every_place_is_escaped_as_it_has_to_be() {
        for code in (0..=0xff_u8).step_by(STEP) {
            for place in (0..17).step_by(STEP) {
                let text = format!("{}{}é~", "y".repeat(place), char::from(code));
                let mut json = Vec::new();
                super::text(&mut json, &text);
                let read: String = serde_json::from_slice(&json).unwrap();
                assert_eq!(read, text);
            }
        }
    }

    #[test]
    fn texts_of_every_length_are_escaped_at_every_place() {
        for length in (0..SHORT + 20).step_by(STEP) {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let mut json = b"before".to_vec();
            super::text(&mut json, &text);
            assert_eq!(json, format!("before\"{text}\"").as_bytes());
            for place in (0..length).step_by(STEP) {
                let mut text = text.clone();
                text.replace_range(place..=place, "\n");
                let mut json = Vec::new();
                super::text(&mut json, &text);
                let escaped = text.replace('\n', "\\n");
                assert_eq!(json, format!("\"{escaped}\"").as_bytes());
            }
        }
    }

    #[test]
    fn displayed_pieces_are_one_text_and_cut_only_once() {
        let piece = "x".repeat(MAX_TEXT / 2);
        let mut json = Vec::new();
        display(
            &mut json,
            format_args!("{piece}{}{piece}{piece}", "é"),
            &Redaction::default(),
        );
        let read: String = serde_json::from_slice(&json).unwrap();
        assert_eq!(read.len(), MAX_TEXT + MARK.len());
        assert!(read.ends_with("x...TRUNCATED..."));
    }
}
