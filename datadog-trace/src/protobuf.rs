//! Writes Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>).

// The wire types.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;

/// A whole number.
pub(crate) fn uint(out: &mut Vec<u8>, field: u8, number: u64) {
    tag(out, field, VARINT);
    varint(out, number);
}

/// A number of the type `double`.
pub(crate) fn double(out: &mut Vec<u8>, field: u8, number: f64) {
    tag(out, field, FIXED_64);
    out.extend_from_slice(&number.to_le_bytes());
}

/// A text.
pub(crate) fn text(out: &mut Vec<u8>, field: u8, text: &str) {
    head(out, field, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A message within another one.
pub(crate) fn message(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    write(&mut content);
    head(out, field, content.len());
    out.append(&mut content);
}

/// What stands before so many bytes.
pub(crate) fn head(out: &mut Vec<u8>, field: u8, bytes: usize) {
    tag(out, field, LENGTH_DELIMITED);
    varint(out, bytes as u64);
}

fn tag(out: &mut Vec<u8>, field: u8, wire_type: u8) {
    out.push(field << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
