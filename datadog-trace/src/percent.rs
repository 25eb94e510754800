//! Texts with bytes that stand as `%` and two hexadecimal digits (RFC 3986, section 2.1).

/// The bytes that a text stands for. What is no such three stands for itself.
pub(crate) fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let digits = after.split_first_chunk().filter(|_| *first == b'%');
        let escaped = digits.and_then(|(digits, behind)| Some((byte(*digits)?, behind)));
        let (byte, behind) = escaped.unwrap_or((*first, after));
        rest = behind;
        Some(byte)
    })
}

fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_escape_stays() {
        for (text, expected) in [
            ("", ""),
            ("a%20b%2C", "a b,"),
            ("%c3%A9", "é"),
            ("%zz%4", "%zz%4"),
            ("%+f%", "%+f%"),
            ("%%41", "%A"),
        ] {
            let bytes: Vec<u8> = decoded(text).collect();
            assert_eq!(String::from_utf8(bytes).as_deref(), Ok(expected), "{text}");
        }
    }
}
