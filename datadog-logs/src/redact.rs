//! What must not leave the program: the values of some attributes, and parts of texts.

use std::borrow::Cow;

use datadog_config::{DDConfig, ScrubRule};

/// What stands in place of a value.
pub(crate) const REDACTED: &str = "[redacted]";

/// The names whose values are left out, and the rules for texts. A key has such a name if its last part, what stands
/// behind the last dot, is the name; case, `_` and `-` make no difference.
#[derive(Debug, Default)]
pub(crate) struct Redaction {
    names: Vec<Vec<u8>>,
    /// A bit for each first byte of a name, modulo 64: most keys are told by that.
    firsts: u64,
    rules: Vec<ScrubRule>,
}

impl Redaction {
    pub(crate) fn of(config: &DDConfig) -> Self {
        Self {
            rules: config.logs_scrub_rules().to_vec(),
            ..Self::of_names(config.logs_redacted_keys())
        }
    }

    fn of_names(names: &[String]) -> Self {
        let names: Vec<Vec<u8>> = names
            .iter()
            .map(|name| plain(name).collect::<Vec<u8>>())
            .filter(|name| !name.is_empty())
            .collect();
        let firsts = names.iter().map(|name| bit(name[0])).fold(0, |a, b| a | b);
        Self {
            names,
            firsts,
            rules: Vec::new(),
        }
    }

    /// Whether texts have to go through [`Redaction::scrub`].
    #[inline]
    pub(crate) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The text without what the rules replace, one after the other.
    #[inline]
    pub(crate) fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.rules.iter().fold(Cow::Borrowed(text), scrub)
    }

    /// Whether the value of this key must not be sent.
    pub(crate) fn hides(&self, key: &str) -> bool {
        let last_part = key.rfind('.').map_or(key, |dot| &key[dot + 1..]);
        let first = plain(last_part).next();
        first.is_some_and(|first| self.firsts & bit(first) != 0)
            && self
                .names
                .iter()
                .any(|name| plain(last_part).eq(name.iter().copied()))
    }
}

/// The text without what one rule replaces.
fn scrub<'t>(text: Cow<'t, str>, rule: &ScrubRule) -> Cow<'t, str> {
    match rule.scrub(&text) {
        Cow::Owned(scrubbed) => Cow::Owned(scrubbed),
        Cow::Borrowed(_) => text,
    }
}

/// The bytes of a name that make a difference.
fn plain(name: &str) -> impl Iterator<Item = u8> {
    name.bytes()
        .filter(|byte| !matches!(byte, b'_' | b'-'))
        .map(|byte| byte.to_ascii_lowercase())
}

fn bit(first: u8) -> u64 {
    1 << (first % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_spelling_at_the_end_of_a_path() {
        let redaction = Redaction::of_names(&[
            "api_key".to_owned(),
            "Set-Cookie".to_owned(),
            "_".to_owned(),
        ]);
        for key in [
            "api_key",
            "apiKey",
            "API-KEY",
            "_api_key",
            "http.headers.set_cookie",
            "a.SetCookie",
        ] {
            assert!(redaction.hides(key), "{key}");
        }
        for key in [
            "",
            ".",
            "_",
            "api_key.",
            "api_key.length",
            "keys",
            "my_api_key",
            "apikeys",
        ] {
            assert!(!redaction.hides(key), "{key}");
        }
        assert!(!Redaction::default().hides("api_key"));
    }
}
