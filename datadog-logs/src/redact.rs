//! What must not leave the program: the values of some attributes, and parts of texts.

use std::borrow::Cow;

use datadog_config::{DDConfig, ScrubRule};

/// What stands in place of a value.
pub(crate) const REDACTED: &str = "[redacted]";

/// Longer names, in bytes, take longer to look for.
const LONGEST: usize = 32;

/// The names whose values are left out, and the rules for texts. A key has such a name if its last part, what stands
/// behind the last dot, is the name; case, `_` and `-` make no difference.
#[derive(Debug, Default)]
pub(crate) struct Redaction {
    names: Vec<Vec<u8>>,
    /// By the low bits of the last byte of a name, a bit for each last but one: most keys are told by that.
    endings: [u32; 32],
    /// A bit for each length of a name.
    lengths: u64,
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
        Self {
            endings: endings(&names),
            lengths: names.iter().fold(0, |bits, name| bits | length_bit(name)),
            names,
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
    #[inline]
    pub(crate) fn hides(&self, key: &str) -> bool {
        let candidate = match key.as_bytes() {
            [.., before, last] => {
                is_ignored(*before)
                    || is_ignored(*last)
                    || self.endings[low_bits(*last)] & bit(*before) != 0
            }
            _ => true,
        };
        candidate && self.has_name(key)
    }

    fn has_name(&self, key: &str) -> bool {
        let mut buffer = [0; LONGEST];
        let mut start = LONGEST;
        for byte in key.bytes().rev().take_while(|byte| *byte != b'.') {
            if is_ignored(byte) {
                continue;
            }
            let Some(before) = start.checked_sub(1) else {
                return self.has_long_name(key);
            };
            start = before;
            buffer[start] = byte.to_ascii_lowercase();
        }
        let name = &buffer[start..];
        let is_name = |known: &Vec<u8>| known.first() == name.first() && known == name;
        self.lengths & length_bit(name) != 0 && self.names.iter().any(is_name)
    }

    #[cold]
    fn has_long_name(&self, key: &str) -> bool {
        let last_part = key.rsplit('.').next().unwrap_or(key);
        self.names
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
        .filter(|byte| !is_ignored(*byte))
        .map(|byte| byte.to_ascii_lowercase())
}

/// Whether a byte makes no difference.
fn is_ignored(byte: u8) -> bool {
    matches!(byte, b'_' | b'-')
}

/// The last two bytes that keys with these names may have.
fn endings(names: &[Vec<u8>]) -> [u32; 32] {
    let mut endings = [0; 32];
    for name in names {
        match name[..] {
            [.., before, last] => endings[low_bits(last)] |= bit(before),
            [last] => endings[low_bits(last)] = u32::MAX,
            [] => {}
        }
    }
    endings
}

fn length_bit(name: &[u8]) -> u64 {
    1 << (name.len() % 64)
}

/// The same for both cases of a letter.
fn low_bits(byte: u8) -> usize {
    usize::from(byte % 32)
}

fn bit(byte: u8) -> u32 {
    1 << low_bits(byte)
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
            "ü".repeat(40),
        ]);
        assert!(redaction.hides(&format!("a.-{}_", "ü".repeat(40))));
        assert!(!redaction.hides(&"ü".repeat(41)));
        for key in [
            "api_key",
            "apiKey",
            "API-KEY",
            "_api_key",
            "http.headers.set_cookie",
            "a.SetCookie",
            "api_ke-y",
            "apikey_",
            "apikey--",
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
