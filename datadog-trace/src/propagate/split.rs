//! Texts in parts. The standard library looks for any character, which takes longer in texts as short as headers are.

/// The parts of a text between the ASCII characters `mark`, like [`str::split`].
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
    let at = text.bytes().position(|byte| byte == mark)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_standard_library() {
        for text in ["", ",", "a", "a,b", ",a,,bé,", "é,ü", "a,b,c"] {
            let parts: Vec<_> = split(text, b',').collect();
            assert_eq!(parts, text.split(',').collect::<Vec<_>>());
            assert_eq!(split_once(text, b','), text.split_once(','));
        }
    }
}
