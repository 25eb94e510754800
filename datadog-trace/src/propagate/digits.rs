//! Ids in digits, hexadecimal and decimal.

/// The value of each byte as a lower-case hexadecimal digit; 0xff for what is none.
const LOWER: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        values[HEX[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Reads lower-case hexadecimal digits, exactly `len` of them.
pub(super) fn lower_hex(text: &str, len: usize) -> Option<u128> {
    let read = |digits: &[u8]| {
        let (mut number, mut all) = (0u64, 0u8);
        for byte in digits {
            let digit = LOWER[usize::from(*byte)];
            all |= digit;
            number = number << 4 | u64::from(digit & 0xf);
        }
        (all < 16).then_some(number)
    };
    if text.len() != len {
        return None;
    }
    let (high, low) = text.as_bytes().split_at(len.saturating_sub(16));
    Some(u128::from(read(high)?) << 64 | u128::from(read(low)?))
}

/// Reads hexadecimal digits of either case, 1 to `most` of them, which is at most 32.
pub(super) fn hex(text: &str, most: usize) -> Option<u128> {
    if text.is_empty() || text.len() > most || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// Reads decimal digits alone, of a number of 64 bits.
pub(super) fn decimal(text: &str) -> Option<u64> {
    // One digit less than the largest number has, which can't be too much.
    if text.is_empty() || text.len() > 19 {
        return text.parse().ok();
    }
    let (mut number, mut all) = (0u64, true);
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        all &= digit < 10;
        number = number.wrapping_mul(10).wrapping_add(digit.into());
    }
    // What is left may have a sign.
    if all { Some(number) } else { text.parse().ok() }
}

/// Appends the lowest `len` hexadecimal digits of a number, at most 32, in lower case.
pub(crate) fn push_hex(out: &mut String, number: u128, len: usize) {
    let mut text = [0; 32];
    for (at, digits) in text.chunks_exact_mut(8).enumerate() {
        digits.copy_from_slice(&eight_digits((number >> (96 - 32 * at)) as u32));
    }
    push_ascii(out, &text[32 - len.min(32)..]);
}

/// All digits at a time: each half byte moves into a byte of its own, and from there to its character.
fn eight_digits(number: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut digits = u64::from(number);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & (0x0f * ONES);
    let letters = ((digits + 0x06 * ONES) >> 4) & ONES;
    let to_letter = u64::from(b'a' - b'9' - 1);
    (digits + u64::from(b'0') * ONES + letters * to_letter).to_be_bytes()
}

/// Appends a decimal number.
pub(super) fn push_decimal(out: &mut String, mut number: u64) {
    if number < 10 {
        return out.push(char::from(b'0' + number as u8));
    }
    let mut text = [b'0'; 20];
    let mut start = text.len();
    for pair in text.chunks_exact_mut(2).rev() {
        let two = (number % 100) as u8;
        pair.copy_from_slice(&[b'0' + two / 10, b'0' + two % 10]);
        number /= 100;
        start -= 2;
        if number == 0 {
            start += usize::from(two < 10);
            break;
        }
    }
    push_ascii(out, &text[start..]);
}

/// Appends a decimal number with its sign.
pub(super) fn push_signed(out: &mut String, number: i32) {
    if number < 0 {
        out.push('-');
    }
    push_decimal(out, number.unsigned_abs().into());
}

fn push_ascii(out: &mut String, digits: &[u8]) {
    out.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut String)) -> String {
        let mut text = String::from("x");
        push(&mut text);
        text.split_off(1)
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for number in [0, 1, 0xfedc_ba98_7654_3210, u128::MAX, 1 << 127, 10 << 64] {
            let low = number as u64;
            assert_eq!(
                text(|out| push_hex(out, number, 32)),
                format!("{number:032x}")
            );
            assert_eq!(text(|out| push_hex(out, number, 16)), format!("{low:016x}"));
            assert_eq!(text(|out| push_decimal(out, low)), low.to_string());
            assert_eq!(hex(&format!("{number:x}"), 32), Some(number));
        }
        for number in [0, -1, 2, i32::MIN, i32::MAX] {
            assert_eq!(text(|out| push_signed(out, number)), number.to_string());
        }
    }

    #[test]
    fn decimal_numbers_are_those_of_the_standard_library() {
        let most = u64::MAX.to_string();
        for text in [
            "",
            "0",
            "7",
            "007",
            "+7",
            "-7",
            "1x",
            "/",
            ":",
            "9999999999999999999",
            &most,
            "18446744073709551616",
            "99999999999999999999",
            "000000000000000000000001",
        ] {
            assert_eq!(decimal(text), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn only_digits_count() {
        assert_eq!(lower_hex("00ff", 4), Some(255));
        assert_eq!(lower_hex(&"f".repeat(32), 32), Some(u128::MAX));
        for bad in ["00FF", "0ff", "000ff", "+0ff", "0x1f", "é00"] {
            assert_eq!(lower_hex(bad, 4), None, "{bad}");
        }
        assert_eq!((hex("FF", 16), hex("1", 16)), (Some(255), Some(1)));
        for bad in ["", "+1", "g", "12345"] {
            assert_eq!(hex(bad, 4), None, "{bad}");
        }
    }
}
