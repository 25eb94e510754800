//! JSON, appended to a buffer.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use crate::Value;

/// What is left of a text that was cut ends with this mark, as the agent's does
/// (datadog-agent: `pkg/logs/message`).
pub(crate) const MARK: &str = "...TRUNCATED...";

/// The longest text that is read, in bytes: no entry may be larger.
pub(crate) const MAX_TEXT: usize = crate::draft::MAX_ENTRY;

/// A value.
pub(crate) fn value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => int(out, *number),
        Value::UInt(number) => uint(out, *number),
        Value::Float(number) => float(out, *number),
        Value::Text(content) => text(out, content),
        Value::List(values) => list(out, values),
        Value::Map(values) => {
            out.push(b'{');
            for (at, (key, inner)) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                text(out, key);
                out.push(b':');
                self::value(out, inner);
            }
            out.push(b'}');
        }
    }
}

fn list(out: &mut Vec<u8>, values: &[Value<'_>]) {
    out.push(b'[');
    for (at, inner) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        value(out, inner);
    }
    out.push(b']');
}

/// A quoted text, cut at [`MAX_TEXT`].
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    display(out, format_args!("{text}"));
}

/// What `content` displays as a quoted text, cut at [`MAX_TEXT`].
pub(crate) fn display(out: &mut Vec<u8>, content: fmt::Arguments<'_>) {
    out.push(b'"');
    let mut escaping = Escaping {
        out,
        left: MAX_TEXT,
        cut: false,
    };
    match content.as_str() {
        Some(text) => escaping.push(text),
        // An error means that a `Display` of the caller's gave up; what it wrote before stays.
        None => drop(escaping.write_fmt(content)),
    }
    if escaping.cut {
        out.extend_from_slice(MARK.as_bytes());
    }
    out.push(b'"');
}

pub(crate) fn uint(out: &mut Vec<u8>, number: u64) {
    let _ = write!(out, "{number}");
}

pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    let _ = write!(out, "{number}");
}

/// `Debug` has an exponent where that is shorter, and so never hundreds of digits; all its forms are JSON.
fn float(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        let _ = write!(out, "{number:?}");
    } else {
        display(out, format_args!("{number}"));
    }
}

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
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
}
