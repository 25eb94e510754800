//! What headers are written into and read from.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// Takes the headers of a request that is made.
pub trait Inject {
    /// Sets a header, in place of an earlier one of the same name. Names are lower-case.
    fn set(&mut self, name: &'static str, value: &str);
}

/// Has the headers of a request that came.
pub trait Extract {
    /// All values of a header, in order. Upper and lower case of names are the same.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str>;

    /// The value of a header; `None` if there is none, or several.
    fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        // To the end in one go, which iterators do faster than step by step.
        let alone = |(_, count): (Option<&'a str>, usize), value| (Some(value), count + 1);
        let (last, count) = self.values(name).fold((None, 0), alone);
        last.filter(|_| count == 1)
    }
}

/// Maps of at most so many headers are looked through, which takes less than to hash a name.
const FEW: usize = 12;

impl<S: BuildHasher> Inject for HashMap<String, String, S> {
    fn set(&mut self, name: &'static str, value: &str) {
        let known = if self.len() <= FEW {
            let mut pairs = self.iter_mut();
            pairs.find_map(|(known, value)| (known == name).then_some(value))
        } else {
            self.get_mut(name)
        };
        match known {
            Some(known) => value.clone_into(known),
            None => {
                self.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Inject for BTreeMap<String, String> {
    fn set(&mut self, name: &'static str, value: &str) {
        match self.get_mut(name) {
            Some(known) => value.clone_into(known),
            None => {
                self.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Inject for Vec<(String, String)> {
    fn set(&mut self, name: &'static str, value: &str) {
        self.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.push((name.to_owned(), value.to_owned()));
    }
}

impl<K: AsRef<str>, V: AsRef<str>, S> Extract for HashMap<K, V, S> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        named(self.iter(), name)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for BTreeMap<K, V> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        named(self.iter(), name)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for [(K, V)] {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        named(self.iter().map(|(key, value)| (key, value)), name)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for Vec<(K, V)> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.as_slice().values(name)
    }
}

fn named<'a, K: AsRef<str> + 'a, V: AsRef<str> + 'a>(
    pairs: impl Iterator<Item = (&'a K, &'a V)>,
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    pairs
        .filter(move |(key, _)| is_name(key.as_ref(), name))
        .map(|(_, value)| value.as_ref())
}

/// Most names are in the same case, and differ in length from all others.
#[inline]
fn is_name(key: &str, name: &str) -> bool {
    key.len() == name.len() && (key == name || key.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_in_any_case_and_values_are_replaced() {
        let mut pairs = vec![("X-Name".to_owned(), "1".to_owned())];
        assert_eq!(pairs.value("x-name"), Some("1"));
        pairs.set("x-name", "2");
        assert_eq!(pairs, [("x-name".to_owned(), "2".to_owned())]);
        pairs.push(("X-NAME".to_owned(), "3".to_owned()));
        assert_eq!(pairs.value("x-name"), None);
        assert_eq!(pairs.values("x-name").collect::<Vec<_>>(), ["2", "3"]);
        let mut map = HashMap::from([("B3".to_owned(), "0".to_owned())]);
        assert_eq!(map.value("b3"), Some("0"));
        map.set("other", "1");
        assert_eq!(map.len(), 2);
        let mut tree: BTreeMap<String, String> = map.into_iter().collect();
        tree.set("other", "2");
        assert_eq!((tree.value("OTHER"), tree.value("none")), (Some("2"), None));
    }
}
