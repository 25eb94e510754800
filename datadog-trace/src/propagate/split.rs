//! Texts in parts. The standard library looks for any character, which takes longer in texts as short as headers are.

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
    let at = position(text.as_bytes(), mark)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Where a byte stands first. Eight bytes at a time: those that are the mark become zero, and only of a zero, and what
/// borrows from it further on, the highest bit is set by taking one away.
#[inline]
fn position(text: &[u8], mark: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (blocks, rest) = text.as_chunks::<8>();
    for (at, block) in blocks.iter().enumerate() {
        let bytes = u64::from_le_bytes(*block) ^ (ONES * u64::from(mark));
        let zeros = bytes.wrapping_sub(ONES) & !bytes & (ONES << 7);
        if zeros != 0 {
            return Some(at * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| *byte == mark)?;
    Some(blocks.len() * 8 + at)
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
        }
    }
}
