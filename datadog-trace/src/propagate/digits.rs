//! Ids in digits, hexadecimal and decimal.

/// A byte in each of eight places.
const ONES: u64 = 0x0101_0101_0101_0101;

/// What one more block of eight decimal digits is worth.
const BLOCK: u64 = 100_000_000;

/// Reads lower-case hexadecimal digits, exactly 8, 16 or 32 of them.
#[inline]
pub(super) fn lower_hex<const DIGITS: usize>(text: &[u8]) -> Option<u128> {
    let text: &[u8; DIGITS] = text.try_into().ok()?;
    let mut number = 0;
    for block in text.as_chunks::<8>().0 {
        number = number << 32 | u128::from(read_hex(*block)?);
    }
    Some(number)
}

/// Reads eight lower-case hexadecimal digits at a time. Letters have a bit that digits do not have. What is neither has
/// no value below 16, or a letter's without the bit, or a digit's with it.
#[inline]
fn read_hex(text: [u8; 8]) -> Option<u32> {
    let bytes = u64::from_be_bytes(text);
    let letters = (bytes >> 6) & ONES;
    let to_letter = u64::from((b'a' ^ b'0') - 10);
    let mut digits = (bytes ^ (0x30 * ONES)).wrapping_sub(letters * to_letter);
    let above_nine = digits.wrapping_add(0x06 * ONES) ^ (letters << 4);
    if (digits | above_nine) & (0xf0 * ONES) != 0 {
        return None;
    }
    digits = (digits | digits >> 4) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits >> 8) & 0x0000_ffff_0000_ffff;
    Some((digits | digits >> 16) as u32)
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
    // What is left may have not even eight digits, or many zeros in front.
    let read = || text.parse().ok().filter(|_| !text.starts_with('+'));
    decimal_blocks(text.as_bytes()).or_else(read)
}

fn decimal_blocks(text: &[u8]) -> Option<u64> {
    let (head, blocks) = text.as_rchunks::<8>();
    // Shifted so that the rest of the block falls out, and zeros come in front.
    let first = u64::from_le_bytes(*text.first_chunk()?);
    let bits = head.len() * 8;
    let number = match bits {
        0 => 0,
        _ => read_decimal(first << (64 - bits) | (0x30 * ONES) >> bits)?,
    };
    let append = |number: u64, block: &[u8; 8]| {
        let digits = read_decimal(u64::from_le_bytes(*block))?;
        number.checked_mul(BLOCK)?.checked_add(digits)
    };
    match blocks {
        [block] => append(number, block),
        [high, low] => append(append(number, high)?, low),
        _ => None,
    }
}

/// Reads eight decimal digits: neighbours make numbers of two, four, and then eight digits.
#[inline]
fn read_decimal(text: u64) -> Option<u64> {
    const EVERY_FOURTH: u64 = 0x0000_00ff_0000_00ff;
    let digits = text ^ (0x30 * ONES);
    // What is above 9 has the highest bit, or gets it here.
    if (digits | digits.wrapping_add(0x76 * ONES)) & (0x80 * ONES) != 0 {
        return None;
    }
    let pairs = digits * 10 + (digits >> 8);
    let first = (pairs & EVERY_FOURTH).wrapping_mul(100 + (1_000_000 << 32));
    let second = ((pairs >> 16) & EVERY_FOURTH).wrapping_mul(1 + (10_000 << 32));
    Some(first.wrapping_add(second) >> 32)
}

/// Appends the lowest `len` hexadecimal digits of a number, at most 32, in lower case.
#[inline]
pub(crate) fn push_hex(out: &mut String, number: u128, len: usize) {
    let digits = [96, 64, 32, 0].map(|low| hex_block((number >> low) as u32));
    push_ascii(out, &digits.as_flattened()[32 - len.min(32)..]);
}

/// Eight hexadecimal digits at a time: each half byte moves into a byte of its own, and from there to its character.
#[inline]
fn hex_block(number: u32) -> [u8; 8] {
    let mut digits = u64::from(number.swap_bytes());
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits >> 4 | digits << 8) & (0x0f * ONES);
    to_characters(digits).to_le_bytes()
}

/// The characters of eight numbers below 16.
#[inline]
fn to_characters(digits: u64) -> u64 {
    let letters = ((digits + 0x06 * ONES) >> 4) & ONES;
    let to_letter = u64::from(b'a' - b'9' - 1);
    digits + u64::from(b'0') * ONES + letters * to_letter
}

/// Appends a decimal number.
pub(super) fn push_decimal(out: &mut String, number: u64) {
    let (high, low) = (number / BLOCK, number % BLOCK);
    let blocks = [high / BLOCK, high % BLOCK, low].map(decimal_block);
    let zeros_of =
        |block: [u8; 8]| (u64::from_le_bytes(block) ^ (0x30 * ONES)).trailing_zeros() / 8;
    let [first, rest @ ..] = blocks;
    let zeros = zeros_of(first);
    if zeros == 8 {
        let digits = rest.as_flattened();
        let zeros = digits.iter().position(|digit| *digit != b'0');
        return push_ascii(out, &digits[zeros.unwrap_or(digits.len() - 1)..]);
    }
    // Almost all ids are as large. Shifted so that the digits come first, and what is behind them is cut off.
    let digits = u64::from_le_bytes(first) >> (8 * zeros);
    push_ascii(out, &digits.to_le_bytes());
    out.truncate(out.len() - zeros as usize);
    push_ascii(out, rest.as_flattened());
}

/// Eight decimal digits at a time: halves, quarters, and then single digits get bits of their own. They are divided by
/// multiplying, which is exact for numbers as small.
#[inline]
fn decimal_block(number: u64) -> [u8; 8] {
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (halves - hundreds * 100) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (pairs - tens * 10) << 8;
    (digits + u64::from(b'0') * ONES).to_le_bytes()
}

/// Appends a decimal number with its sign. Most have one digit.
#[inline]
pub(super) fn push_signed(out: &mut String, number: i32) {
    if number < 0 {
        out.push('-');
    }
    match number.unsigned_abs() {
        digit @ 0..10 => push_ascii(out, &[b'0' + digit as u8]),
        more => push_decimal(out, more.into()),
    }
}

/// `digits` are ASCII.
#[inline]
fn push_ascii(out: &mut String, digits: &[u8]) {
    debug_assert!(digits.is_ascii());
    #[expect(
        unsafe_code,
        reason = "to look at the digits again is a good part of the cost of a header"
    )]
    // SAFETY: the callers, all in this file, pass digits, with zeros behind them at most, which are ASCII.
    out.push_str(unsafe { std::str::from_utf8_unchecked(digits) });
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
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let number = random.u128(..) >> random.u32(..128);
            let low = number as u64;
            let (hex_text, short) = (format!("{number:032x}"), format!("{low:016x}"));
            assert_eq!(text(|out| push_hex(out, number, 32)), hex_text);
            assert_eq!(text(|out| push_hex(out, number, 14)), hex_text[18..]);
            assert_eq!(lower_hex::<32>(hex_text.as_bytes()), Some(number));
            assert_eq!(lower_hex::<16>(short.as_bytes()), Some(low.into()));
            assert_eq!(text(|out| push_decimal(out, low)), low.to_string());
            assert_eq!(decimal(&low.to_string()), Some(low));
            let at = random.usize(..32);
            let byte = random.u8(..128);
            let mut changed = hex_text.clone();
            changed.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4]));
            let expected = u128::from_str_radix(&changed, 16).ok();
            let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let read = lower_hex::<32>(changed.as_bytes());
            assert_eq!(read, expected.filter(|_| is_digit));
            let mut changed = low.to_string();
            let at = random.usize(..changed.len());
            changed.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4]));
            let expected = changed.parse().ok().filter(|_| !changed.starts_with('+'));
            assert_eq!(decimal(&changed), expected, "{changed}");
        }
        for number in [0, -1, 2, i32::MIN, i32::MAX] {
            assert_eq!(text(|out| push_signed(out, number)), number.to_string());
        }
    }

    #[test]
    fn decimal_numbers_are_those_of_the_standard_library_without_a_sign() {
        assert_eq!(decimal("+7"), None);
        assert_eq!(decimal("+12345678"), None);
        let most = u64::MAX.to_string();
        for text in [
            "",
            "0",
            "7",
            "007",
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
        assert_eq!(lower_hex::<8>(b"000000ff"), Some(255));
        assert_eq!(lower_hex::<32>(&[b'f'; 32]), Some(u128::MAX));
        for bad in [
            "000000FF",
            "00000ff",
            "0000000ff",
            "+00000ff",
            "00000x1f",
            "00000é0",
        ] {
            assert_eq!(lower_hex::<8>(bad.as_bytes()), None, "{bad}");
        }
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            for (at, others) in [(0, b'0'), (3, b'9'), (7, b'f'), (6, b'0')] {
                let mut text = [others; 8];
                text[at] = byte;
                assert_eq!(lower_hex::<8>(&text).is_some(), expected, "{text:?}");
                text[(at + 1) % 8] = byte;
                assert_eq!(lower_hex::<8>(&text).is_some(), expected, "{text:?}");
            }
        }
        assert_eq!((hex("FF", 16), hex("1", 16)), (Some(255), Some(1)));
        for bad in ["", "+1", "g", "12345"] {
            assert_eq!(hex(bad, 4), None, "{bad}");
        }
    }
}
