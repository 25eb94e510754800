//! What travels with a trace for the program.

use smallvec::SmallVec;

/// Pairs of texts. They stand one behind the other in one text, as they are copied with every trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Baggage {
    text: String,
    /// How long each key and its value are. Few traces have more than two.
    lens: SmallVec<[(usize, usize); 2]>,
}

impl Baggage {
    /// An empty one with memory for so many bytes, if any.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            lens: SmallVec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lens.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// The pairs in the order in which they were set.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.text;
        let mut next = move |len| {
            let (text, more) = rest.split_at_checked(len).unwrap_or((rest, ""));
            rest = more;
            text
        };
        self.lens
            .iter()
            .map(move |(key, value)| (next(*key), next(*value)))
    }

    /// The pairs as texts of their own.
    pub(crate) fn to_vec(&self) -> Vec<(String, String)> {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        self.iter().map(owned).collect()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.iter().find(|(known, _)| *known == key)?;
        Some(value)
    }

    /// Sets a value, in place of an earlier one of the same key.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.remove(key);
        self.push(key, value);
    }

    /// Forgets a value.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(at) = self.place_of(key) {
            self.remove_at(at);
        }
    }

    fn place_of(&self, key: &str) -> Option<usize> {
        self.iter().position(|(known, _)| known == key)
    }

    #[cold]
    fn remove_at(&mut self, at: usize) {
        let bytes = |lens: &[(usize, usize)]| lens.iter().map(|(key, value)| key + value).sum();
        let start: usize = bytes(&self.lens[..at]);
        let len: usize = bytes(&self.lens[at..=at]);
        self.text.drain(start..start + len);
        self.lens.remove(at);
    }

    fn push(&mut self, key: &str, value: &str) {
        self.text.push_str(key);
        self.text.push_str(value);
        self.lens.push((key.len(), value.len()));
    }
}

/// Of different keys.
impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Baggage {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut baggage = Self::default();
        for (key, value) in pairs {
            baggage.push(key.as_ref(), value.as_ref());
        }
        baggage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts_and_comes_last() {
        let mut baggage = Baggage::default();
        let set = [
            ("a", "1"),
            ("b", "x"),
            ("", "é"),
            ("a", "22"),
            ("b", ""),
            ("", "é"),
            ("a", "22"),
        ];
        for (key, value) in set {
            baggage.set(key, value);
        }
        let pairs: Vec<_> = baggage.iter().collect();
        assert_eq!(pairs, [("b", ""), ("", "é"), ("a", "22")]);
        assert_eq!((baggage.get("a"), baggage.get("c")), (Some("22"), None));
        assert_eq!((baggage.len(), baggage.is_empty()), (3, false));
        assert_eq!(pairs.into_iter().collect::<Baggage>(), baggage);
    }
}
