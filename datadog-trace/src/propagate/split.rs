//! Texts in parts, and what they consist of. The standard library looks for any character, which takes longer in texts as
//! short as headers are.

/// A byte in each of eight places.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The highest bit of each.
const HIGH: u64 = ONES << 7;

/// The parts of a text between the ASCII characters `mark`, like [`str::split`].
#[inline]
pub(super) fn split(text: &str, mark: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, more) = match split_once(text, mark) {
            Some((part, more)) => (part, Some(more)),
            None => (text, None),
        };
        rest = more;
        Some(part)
    })
}

/// The text before the first ASCII character `mark`, and after it, like [`str::split_once`].
#[inline]
pub(super) fn split_once(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = position(text.as_bytes(), [mark])?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Whether a text has one of two ASCII characters.
#[inline]
pub(super) fn has(text: &str, marks: [u8; 2]) -> bool {
    position(text.as_bytes(), marks).is_some()
}

/// Where one of some bytes stands first. Eight bytes at a time: those that are the mark become zero, and only of a zero,
/// and what borrows from it further on, the highest bit is set by taking one away.
#[inline]
fn position<const MARKS: usize>(text: &[u8], marks: [u8; MARKS]) -> Option<usize> {
    let position_in = |block: &[u8; 8]| {
        let zeros = marks.iter().fold(0, |zeros, mark| {
            let bytes = u64::from_le_bytes(*block) ^ (ONES * u64::from(*mark));
            zeros | bytes.wrapping_sub(ONES) & !bytes & HIGH
        });
        (zeros != 0).then_some(zeros.trailing_zeros() as usize / 8)
    };
    // The last block has some bytes again.
    let Some(last) = text.last_chunk() else {
        return text.iter().position(|byte| marks.contains(byte));
    };
    for (at, block) in text.as_chunks().0.iter().enumerate() {
        if let Some(found) = position_in(block) {
            return Some(at * 8 + found);
        }
    }
    position_in(last).map(|found| text.len() - 8 + found)
}

/// Whether a text is of printable ASCII characters and blanks.
#[inline]
pub(super) fn is_printable(text: &str) -> bool {
    let text = text.as_bytes();
    let Some(last) = text.last_chunk() else {
        return text.iter().all(|byte| (b' '..=b'~').contains(byte));
    };
    let bad = |block: &[u8; 8]| {
        let bytes = u64::from_ne_bytes(*block);
        // Above, or the last of ASCII, or so low that the bit does not outlive the first printable one.
        bytes | bytes.wrapping_add(ONES) | !(bytes | HIGH).wrapping_sub(ONES * 0x20)
    };
    let blocks = text.as_chunks().0.iter();
    blocks.fold(bad(last), |so_far, block| so_far | bad(block)) & HIGH == 0
}

/// The text without blanks around it, like [`str::trim`]: few have any.
#[inline]
pub(super) fn trim(text: &str) -> &str {
    trim_by(text, str::trim)
}

/// The same, like [`str::trim_ascii`].
#[inline]
pub(super) fn trim_ascii(text: &str) -> &str {
    trim_by(text, str::trim_ascii)
}

#[inline]
fn trim_by(text: &str, trim: fn(&str) -> &str) -> &str {
    let is_plain = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    if is_plain(bytes.first()) && is_plain(bytes.last()) {
        text
    } else {
        apart(text, trim)
    }
}

/// So that what is done for each header stays in the processor's cache.
#[cold]
#[inline(never)]
fn apart(text: &str, trim: fn(&str) -> &str) -> &str {
    trim(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_standard_library() {
        for text in [
            "",
            ",",
            "a",
            "a,b",
            ",a,,bé,",
            "é,ü",
            "a,b,c",
            "-----------,+,",
            "abcdefghijklm,nopqrstuvwxyz+",
            "12345678,",
        ] {
            let parts: Vec<_> = split(text, b',').collect();
            assert_eq!(parts, text.split(',').collect::<Vec<_>>());
            assert_eq!(split_once(text, b','), text.split_once(','));
            assert_eq!(has(text, *b"+c"), text.contains(['+', 'c']), "{text}");
        }
    }

    #[test]
    fn printable_are_the_same_alone_and_in_blocks() {
        for code in 0..=0x100 {
            let Some(character) = char::from_u32(code) else {
                continue;
            };
            let expected = (' '..='~').contains(&character);
            for at in 0..20 {
                let text: String = (0..20)
                    .map(|place| if place == at { character } else { 'a' })
                    .collect();
                assert_eq!(is_printable(&text), expected, "{text:?}");
            }
            let text = format!("{character}a{character}");
            assert_eq!(trim(&text), text.trim());
            assert_eq!(trim_ascii(&text), text.trim_ascii());
        }
        assert!(is_printable("") && trim("").is_empty());
    }
}
