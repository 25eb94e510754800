//! Ids in hexadecimal digits.

/// Reads lower-case digits, exactly `len` of them.
pub(super) fn lower(text: &str, len: usize) -> Option<u128> {
    let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != len || !text.bytes().all(is_lower) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// Reads digits of either case, 1 to `most` of them.
pub(super) fn any(text: &str, most: usize) -> Option<u128> {
    if text.is_empty() || text.len() > most || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// Appends the lowest `len` digits of a number, in lower case.
pub(crate) fn push(out: &mut String, number: u128, len: u32) {
    out.extend((0..len).rev().map(|at| {
        let digit = (number >> (4 * at)) as u8 & 0xf;
        char::from(if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        })
    }));
}

/// The lowest `len` digits of a number.
pub(crate) fn text(number: u128, len: u32) -> String {
    let mut text = String::with_capacity(len as usize);
    push(&mut text, number, len);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for number in [0, 1, 0xfedc_ba98_7654_3210, u128::MAX, 1 << 127] {
            assert_eq!(text(number, 32), format!("{number:032x}"));
            assert_eq!(text(number, 16), format!("{:016x}", number as u64));
        }
    }

    #[test]
    fn only_digits_count() {
        assert_eq!(lower("00ff", 4), Some(255));
        assert_eq!(lower(&"f".repeat(32), 32), Some(u128::MAX));
        for bad in ["00FF", "0ff", "000ff", "+0ff", "0x1f", "é00"] {
            assert_eq!(lower(bad, 4), None, "{bad}");
        }
        assert_eq!((any("FF", 16), any("1", 16)), (Some(255), Some(1)));
        for bad in ["", "+1", "g", "12345"] {
            assert_eq!(any(bad, 4), None, "{bad}");
        }
    }
}
