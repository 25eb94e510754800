//! The patterns of sampling rules.

use std::fmt;

/// A pattern: `*` stands for any text, `?` for one character; upper and lower case are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    written: String,
    lowered: Box<[char]>,
}

impl Glob {
    /// The pattern `text`. Every text is one.
    pub fn new(text: &str) -> Self {
        Self {
            written: text.to_owned(),
            lowered: text.chars().flat_map(char::to_lowercase).collect(),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether the whole of `text` fits. Takes no memory, and time of at most pattern × text.
    pub fn matches(&self, text: &str) -> bool {
        let pattern = &*self.lowered;
        let mut rest = text.chars().flat_map(char::to_lowercase);
        let mut at = 0;
        // After a `*`: where the pattern goes on, and the text it has not taken yet.
        let mut retry = None;
        loop {
            if pattern.get(at) == Some(&'*') {
                at += 1;
                retry = Some((at, rest.clone()));
                continue;
            }
            let character = rest.next();
            match (character, pattern.get(at)) {
                (None, None) => return true,
                (Some(character), Some(&expected)) if expected == '?' || expected == character => {
                    at += 1
                }
                (None, _) => return false,
                // The last `*` takes one character more.
                (Some(_), _) => match &mut retry {
                    Some((after, untaken)) => {
                        untaken.next();
                        at = *after;
                        rest = untaken.clone();
                    }
                    None => return false,
                },
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, fits, fits_not) in [
            ("web", &["web", "WEB"][..], &["", "webs", "we"][..]),
            ("web*", &["web", "web-1"], &["we", "aweb"]),
            ("*web", &["web", "a-web", "webweb"], &["webs"]),
            ("w?b", &["web", "wöb"], &["wb", "weeb"]),
            ("*", &["", "anything"], &[]),
            ("a*b*c", &["abc", "a-b-b-c-c"], &["acb", "ab"]),
            ("**?", &["a", "ab"], &[""]),
            ("Ä*", &["ä", "Äb"], &["a"]),
            ("", &[""], &["a"]),
        ] {
            let glob = Glob::new(pattern);
            assert!(
                fits.iter().all(|text| glob.matches(text)),
                "{pattern} {fits:?}"
            );
            assert!(
                !fits_not.iter().any(|text| glob.matches(text)),
                "{pattern} {fits_not:?}"
            );
        }
    }

    /// The definition, word for word.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) if defined(rest, text) => true,
            (Some(('*', _)), Some((_, text))) => defined(pattern, text),
            (Some((one, rest)), Some((character, text))) if *one == '?' || one == character => {
                defined(rest, text)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let (chars, of_text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&pattern).matches(&text), defined(&chars, &of_text));
        }

        #[test]
        fn any_text_fits_itself(text in "[^*?]*") {
            prop_assert!(Glob::new(&text).matches(&text));
        }
    }
}
