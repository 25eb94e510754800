//! The part of MessagePack that traces need (<https://github.com/msgpack/msgpack/blob/master/spec.md>).

/// Writes a map's head; `len` pairs follow.
pub(crate) fn map(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=15 => out.push(0x80 | len as u8),
        16..=0xffff => head(out, 0xde, &(len as u16).to_be_bytes()),
        _ => head(out, 0xdf, &(len as u32).to_be_bytes()),
    }
}

/// Writes a map's head in its 3-byte form, which can be written before the length is known.
pub(crate) fn map16(out: &mut Vec<u8>, len: u16) {
    head(out, 0xde, &len.to_be_bytes());
}

/// Writes an array's head; `len` elements follow.
pub(crate) fn array(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=15 => out.push(0x90 | len as u8),
        16..=0xffff => head(out, 0xdc, &(len as u16).to_be_bytes()),
        _ => array32(out, len),
    }
}

/// Writes an array's head in its longest form, 5 bytes, which can be written before the length is known.
pub(crate) fn array32(out: &mut Vec<u8>, len: usize) {
    head(out, 0xdd, &(len as u32).to_be_bytes());
}

/// Short texts, which most are, are written in place: for the names of fields that is a move of a constant.
#[inline(always)]
pub(crate) fn str(out: &mut Vec<u8>, text: &str) {
    if text.len() < 32 {
        out.push(0xa0 | text.len() as u8);
    } else {
        long_str_head(out, text.len());
    }
    append(out, text.as_bytes());
}

/// The same as `extend_from_slice`, which calls a function to copy what is copied here with a few instructions: short
/// texts in two parts of a fixed length, the second of which may begin before the end of the first.
#[inline(always)]
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        0..4 => bytes.iter().for_each(|byte| out.push(*byte)),
        4..8 => in_two::<4>(out, bytes),
        8..16 => in_two::<8>(out, bytes),
        16..=32 => in_two::<16>(out, bytes),
        _ => out.extend_from_slice(bytes),
    }
}

#[inline(always)]
fn in_two<const N: usize>(out: &mut Vec<u8>, bytes: &[u8]) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) {
        let start = out.len();
        out.extend_from_slice(first);
        out.truncate(start + bytes.len() - N);
        out.extend_from_slice(last);
    }
}

fn long_str_head(out: &mut Vec<u8>, len: usize) {
    match len {
        0..=0xff => head(out, 0xd9, &[len as u8]),
        0x100..=0xffff => head(out, 0xda, &(len as u16).to_be_bytes()),
        _ => head(out, 0xdb, &(len as u32).to_be_bytes()),
    }
}

pub(crate) fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = bytes.len();
    match len {
        0..=0xff => head(out, 0xc4, &[len as u8]),
        0x100..=0xffff => head(out, 0xc5, &(len as u16).to_be_bytes()),
        _ => head(out, 0xc6, &(len as u32).to_be_bytes()),
    }
    out.extend_from_slice(bytes);
}

/// Small numbers, such as those of fields, are written in place.
#[inline]
pub(crate) fn uint(out: &mut Vec<u8>, number: u64) {
    if number <= 0x7f {
        out.push(number as u8);
    } else {
        long_uint(out, number);
    }
}

#[inline(never)]
fn long_uint(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0xff => head(out, 0xcc, &[number as u8]),
        0x100..=0xffff => head(out, 0xcd, &(number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => head(out, 0xce, &(number as u32).to_be_bytes()),
        _ => head(out, 0xcf, &number.to_be_bytes()),
    }
}

/// Writes a number that may be negative; those that are not in their shortest form.
pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    match u64::try_from(number) {
        Ok(number) => uint(out, number),
        Err(_) => head(out, 0xd3, &number.to_be_bytes()),
    }
}

pub(crate) fn bool(out: &mut Vec<u8>, truth: bool) {
    out.push(if truth { 0xc3 } else { 0xc2 });
}

pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
    head(out, 0xcb, &number.to_be_bytes());
}

#[inline]
fn head<const N: usize>(out: &mut Vec<u8>, marker: u8, rest: &[u8; N]) {
    let mut bytes = [marker; 9];
    bytes[1..=N].copy_from_slice(rest);
    out.extend_from_slice(&bytes[..=N]);
}

/// Reads what is written above.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn map(&mut self) -> Option<usize> {
        match self.byte()? {
            head @ 0x80..=0x8f => Some(usize::from(head & 0xf)),
            0xde => self.size(2),
            0xdf => self.size(4),
            _ => None,
        }
    }

    pub(crate) fn array(&mut self) -> Option<usize> {
        match self.byte()? {
            head @ 0x90..=0x9f => Some(usize::from(head & 0xf)),
            0xdc => self.size(2),
            0xdd => self.size(4),
            _ => None,
        }
    }

    pub(crate) fn next_is_str(&self) -> bool {
        matches!(self.rest.first(), Some(0xa0..=0xbf | 0xd9..=0xdb))
    }

    pub(crate) fn str(&mut self) -> Option<&'a str> {
        let length = match self.byte()? {
            head @ 0xa0..=0xbf => usize::from(head & 0x1f),
            head @ 0xd9..=0xdb => self.size(1 << (head - 0xd9))?,
            _ => return None,
        };
        str::from_utf8(self.take(length)?).ok()
    }

    pub(crate) fn bin(&mut self) -> Option<&'a [u8]> {
        let head = self.byte()?;
        let length = match head {
            0xc4..=0xc6 => self.size(1 << (head - 0xc4))?,
            _ => return None,
        };
        self.take(length)
    }

    pub(crate) fn uint(&mut self) -> Option<u64> {
        match self.byte()? {
            small @ 0..=0x7f => Some(small.into()),
            head @ 0xcc..=0xcf => self.number(1 << (head - 0xcc)),
            _ => None,
        }
    }

    pub(crate) fn int(&mut self) -> Option<i64> {
        if self.rest.first() == Some(&0xd3) {
            self.byte();
            return Some(self.number(8)? as i64);
        }
        i64::try_from(self.uint()?).ok()
    }

    pub(crate) fn bool(&mut self) -> Option<bool> {
        match self.byte()? {
            0xc2 => Some(false),
            0xc3 => Some(true),
            _ => None,
        }
    }

    pub(crate) fn float(&mut self) -> Option<f64> {
        match self.byte()? {
            0xcb => Some(f64::from_bits(self.number(8)?)),
            _ => None,
        }
    }

    fn size(&mut self, width: usize) -> Option<usize> {
        usize::try_from(self.number(width)?).ok()
    }

    fn number(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmpv::Value;

    fn read(write: impl FnOnce(&mut Vec<u8>)) -> (Value, usize) {
        let mut out = Vec::new();
        write(&mut out);
        let mut rest = out.as_slice();
        let value = rmpv::decode::read_value(&mut rest).unwrap();
        assert!(rest.is_empty());
        (value, out.len())
    }

    #[test]
    fn every_width_reads_back_in_its_shortest_form() {
        let ints = [
            (0, 1),
            (0x7f, 1),
            (0x80, 2),
            (0xff, 2),
            (0x100, 3),
            (0xffff, 3),
            (0x1_0000, 5),
            (0xffff_ffff, 5),
            (0x1_0000_0000, 9),
            (u64::MAX, 9),
        ];
        for (number, size) in ints {
            assert_eq!(read(|out| uint(out, number)), (Value::from(number), size));
        }
        for (len, head) in [
            (0, 1),
            (31, 1),
            (32, 2),
            (255, 2),
            (256, 3),
            (65_535, 3),
            (65_536, 5),
        ] {
            let text = "x".repeat(len);
            assert_eq!(
                read(|out| str(out, &text)),
                (Value::from(text.as_str()), head + len)
            );
        }
        for (len, head) in [(0, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5)] {
            let bytes = vec![7; len];
            assert_eq!(
                read(|out| bin(out, &bytes)),
                (Value::from(bytes.as_slice()), head + len)
            );
        }
        assert_eq!(read(|out| map16(out, 0)), (Value::Map(Vec::new()), 3));
        for (len, head) in [(0, 1), (15, 1), (16, 3), (65_535, 3), (65_536, 5)] {
            let (value, size) = read(|out| {
                array(out, len);
                (0..len).for_each(|_| uint(out, 1));
            });
            assert_eq!((value.as_array().unwrap().len(), size), (len, head + len));
            let (value, size) = read(|out| {
                map(out, len);
                (0..len).for_each(|_| [1, 2].into_iter().for_each(|n| uint(out, n)));
            });
            assert_eq!((value.as_map().unwrap().len(), size), (len, head + 2 * len));
        }
        for number in [0, 7, -1, i64::MIN, i64::MAX] {
            assert_eq!(read(|out| int(out, number)).0, Value::from(number));
        }
        assert_eq!(read(|out| bool(out, true)), (Value::from(true), 1));
        assert_eq!(read(|out| float(out, -1.5)).0, Value::from(-1.5));
        assert_eq!(read(|out| array32(out, 0)), (Value::Array(Vec::new()), 5));
    }
}
