//! Name and tags as a caller gave them, kept to be compared with those of later calls.

use crate::Tags;

/// Name and tags in one piece of memory: for each text its length with its [`Role`], then its bytes.
#[derive(Debug)]
pub(crate) struct Key(Box<[u8]>);

/// What stands before a text.
const PREFIX: usize = size_of::<usize>();

/// The last bit of a prefix.
#[derive(Clone, Copy)]
enum Role {
    /// A name, a value, or a whole tag.
    Alone = 0,
    /// The key of a pair, whose value is next.
    OfPair = 1,
}

impl Role {
    #[inline(always)]
    fn of_key(value: Option<&str>) -> Self {
        value.map_or(Self::Alone, |_| Self::OfPair)
    }
}

impl Key {
    pub(crate) fn new(name: &str, tags: &impl Tags) -> Self {
        let mut length = PREFIX + name.len();
        for (key, value) in tags.tags() {
            length += PREFIX + key.len() + value.map_or(0, |value| PREFIX + value.len());
        }
        let mut bytes = Vec::with_capacity(length);
        let mut push = |text: &str, role| {
            bytes.extend_from_slice(&prefix(text, role).to_ne_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        push(name, Role::Alone);
        for (key, value) in tags.tags() {
            push(key, Role::of_key(value));
            if let Some(value) = value {
                push(value, Role::Alone);
            }
        }
        Self(bytes.into())
    }

    /// Whether it is that of this name and these tags, told without building one.
    #[inline(always)]
    pub(crate) fn is(&self, name: &str, tags: &impl Tags) -> bool {
        let mut rest = &*self.0;
        if !skip(&mut rest, name, Role::Alone) {
            return false;
        }
        for (key, value) in tags.tags() {
            if !skip(&mut rest, key, Role::of_key(value)) {
                return false;
            }
            if let Some(value) = value
                && !skip(&mut rest, value, Role::Alone)
            {
                return false;
            }
        }
        rest.is_empty()
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// No text is so long that its length would need the bit that is lost.
#[inline(always)]
fn prefix(text: &str, role: Role) -> usize {
    text.len() << 1 | role as usize
}

/// Takes `text` off the front of `bytes`, if it is there.
#[inline(always)]
fn skip(bytes: &mut &[u8], text: &str, role: Role) -> bool {
    if let Some((first, rest)) = bytes.split_first_chunk()
        && usize::from_ne_bytes(*first) == prefix(text, role)
        && let Some((front, rest)) = rest.split_at_checked(text.len())
        && same(front, text.as_bytes())
    {
        *bytes = rest;
        true
    } else {
        false
    }
}

/// Whether two texts of the same length are equal. Most are short, and then a call of the system's comparison would
/// take longer than the comparison: two overlapping pieces cover each.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    let length = one.len();
    if length < 4 {
        if length >= 2 {
            ends_are_same::<2>(one, other)
        } else {
            one.first() == other.first()
        }
    } else if length < 8 {
        ends_are_same::<4>(one, other)
    } else if length <= 16 {
        ends_are_same::<8>(one, other)
    } else if length <= 32 {
        ends_are_same::<16>(one, other)
    } else {
        one == other
    }
}

/// Whether the first and the last `N` bytes are equal.
#[inline(always)]
fn ends_are_same<const N: usize>(one: &[u8], other: &[u8]) -> bool {
    one.first_chunk::<N>() == other.first_chunk() && one.last_chunk::<N>() == other.last_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_apart_what_runs_together() {
        let of = |name, tags: &[(&str, &str)]| Key::new(name, &tags);
        assert!(of("a", &[("b", "c")]).is("a", &[("b", "c")]));
        assert!(!of("a", &[("b", "c")]).is("a", &[("bc", "")]));
        assert!(!of("ab", &[("", "c")]).is("a", &[("b", "c")]));
        assert!(!of("a", &[("b", "c")]).is("a", &()));
        assert!(!of("a", &[]).is("a", &[("b", "c")]));
        assert!(!Key::new("a", &["b"]).is("a", &[("b", "")]));
        assert!(!Key::new("a", &["b", "c"]).is("a", &[("b", "c")]));
    }

    #[test]
    fn texts_of_any_length_differ_by_any_byte() {
        for length in 0..70 {
            let text = "a".repeat(length);
            let key = Key::new(&text, &[(&text, &text)]);
            assert!(key.is(&text, &[(&text, &text)]), "{length}");
            for at in 0..length {
                let mut other = text.clone();
                other.replace_range(at..=at, "b");
                assert!(!key.is(&other, &[(&text, &text)]), "{length} {at}");
                assert!(!key.is(&text, &[(&other, &text)]), "{length} {at}");
                assert!(!key.is(&text, &[(&text, &other)]), "{length} {at}");
            }
        }
    }
}
