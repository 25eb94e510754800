//! What travels with a trace for the program.

/// Pairs of texts. They stand one behind the other in one text, as they are copied with every trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Baggage {
    text: String,
    /// Where each key and its value end.
    ends: Vec<(usize, usize)>,
}

impl Baggage {
    /// An empty one with memory for so many bytes, if any.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(bytes.min(4)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The pairs in the order in which they were set.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(key_end, end)| {
            let text = |from, to| self.text.get(from..to).unwrap_or_default();
            let pair = (text(start, *key_end), text(*key_end, *end));
            start = *end;
            pair
        })
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
        if self.get(key).is_some() {
            self.remove(key);
        }
        self.push(key, value);
    }

    /// Forgets a value.
    #[cold]
    pub(crate) fn remove(&mut self, key: &str) {
        let others = self.iter().filter(|(known, _)| *known != key);
        *self = others.collect();
    }

    fn push(&mut self, key: &str, value: &str) {
        self.text.push_str(key);
        let key_end = self.text.len();
        self.text.push_str(value);
        self.ends.push((key_end, self.text.len()));
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
        for (key, value) in [("a", "1"), ("b", ""), ("", "é"), ("a", "22")] {
            baggage.set(key, value);
        }
        let pairs: Vec<_> = baggage.iter().collect();
        assert_eq!(pairs, [("b", ""), ("", "é"), ("a", "22")]);
        assert_eq!((baggage.get("a"), baggage.get("c")), (Some("22"), None));
        assert_eq!((baggage.len(), baggage.is_empty()), (3, false));
        assert_eq!(pairs.into_iter().collect::<Baggage>(), baggage);
    }
}
