//! What headers are written into and read from.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// Takes the headers of a request that is made.
pub trait Inject {
    /// Sets a header, in place of an earlier one of the same name. Names are lower-case.
    fn set(&mut self, name: &'static str, value: &str);

    /// Sets headers of different names, which takes less in one go where headers have to be looked through.
    fn set_all(&mut self, headers: &[(&'static str, &str)]) {
        for (name, value) in headers {
            self.set(name, value);
        }
    }
}

/// Has the headers of a request that came.
pub trait Extract {
    /// All values of a header, in order. Upper and lower case of names are the same.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str>;

    /// Calls `found` with every value of the headers `names`, and with which of them it is. The values of one header
    /// come in order. To look for all of them in one go takes less where headers have to be looked through.
    fn find<'a>(&'a self, names: &[&'static str], mut found: impl FnMut(usize, &'a str)) {
        for (at, name) in names.iter().enumerate() {
            self.values(name).for_each(|value| found(at, value));
        }
    }
}

/// Maps of at most so many headers are looked through, which takes less than to hash a name.
const FEW: usize = 12;

impl<S: BuildHasher> Inject for HashMap<String, String, S> {
    fn set(&mut self, name: &'static str, value: &str) {
        if let Some(known) = self.get_mut(name) {
            return value.clone_into(known);
        }
        match self.iter_mut().find(|(known, _)| is_name(known, name)) {
            Some((_, known)) => value.clone_into(known),
            None => _ = self.insert(name.to_owned(), value.to_owned()),
        }
    }

    fn set_all(&mut self, headers: &[(&'static str, &str)]) {
        if self.len() > FEW || headers.len() > FEW {
            return headers
                .iter()
                .for_each(|(name, value)| self.set(name, value));
        }
        let lengths = Lengths::of(headers.iter().map(|(name, _)| *name));
        // A bit for each that is in the map already.
        let mut known = 0u32;
        for (name, old) in self.iter_mut() {
            let is_it = |(new, _): &(&str, &str)| is_name(name, new);
            if let Some(at) = lengths.position(headers, name, is_it) {
                known |= 1 << at;
                headers[at].1.clone_into(old);
            }
        }
        for (at, (name, value)) in headers.iter().enumerate() {
            if known & 1 << at == 0 {
                self.insert((*name).to_owned(), (*value).to_owned());
            }
        }
    }
}

impl Inject for BTreeMap<String, String> {
    fn set(&mut self, name: &'static str, value: &str) {
        if let Some(known) = self.get_mut(name) {
            return value.clone_into(known);
        }
        match self.iter_mut().find(|(known, _)| is_name(known, name)) {
            Some((_, known)) => value.clone_into(known),
            None => _ = self.insert(name.to_owned(), value.to_owned()),
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

    fn find<'a>(&'a self, names: &[&'static str], found: impl FnMut(usize, &'a str)) {
        find(texts(self.iter()), names, found);
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for BTreeMap<K, V> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        named(self.iter(), name)
    }

    fn find<'a>(&'a self, names: &[&'static str], found: impl FnMut(usize, &'a str)) {
        find(texts(self.iter()), names, found);
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for [(K, V)] {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        named(self.iter().map(|(key, value)| (key, value)), name)
    }

    fn find<'a>(&'a self, names: &[&'static str], found: impl FnMut(usize, &'a str)) {
        let pairs = self.iter().map(|(key, value)| (key, value));
        find(texts(pairs), names, found);
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extract for Vec<(K, V)> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.as_slice().values(name)
    }

    fn find<'a>(&'a self, names: &[&'static str], found: impl FnMut(usize, &'a str)) {
        self.as_slice().find(names, found);
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

fn texts<'a, K: AsRef<str> + 'a, V: AsRef<str> + 'a>(
    pairs: impl Iterator<Item = (&'a K, &'a V)>,
) -> impl Iterator<Item = (&'a str, impl FnOnce() -> Option<&'a str>)> {
    pairs.map(|(key, value)| (key.as_ref(), || Some(value.as_ref())))
}

/// Looks through all headers. The values of others than those are not looked at.
pub(super) fn find<'a>(
    pairs: impl Iterator<Item = (&'a str, impl FnOnce() -> Option<&'a str>)>,
    names: &[&'static str],
    mut found: impl FnMut(usize, &'a str),
) {
    let lengths = Lengths::of(names.iter().copied());
    for (key, value) in pairs {
        if let Some(at) = lengths.position(names, key, |name| is_name(key, name))
            && let Some(value) = value()
        {
            found(at, value);
        }
    }
}

/// Where in a list of names the first one of each length stands, counted from 1: most differ in length from all others.
struct Lengths([u8; 32]);

impl Lengths {
    fn of<'a>(names: impl DoubleEndedIterator<Item = &'a str> + ExactSizeIterator) -> Self {
        // So many are all looked through.
        let Ok(mut count) = u8::try_from(names.len()) else {
            return Self([1; 32]);
        };
        let mut firsts = [0; 32];
        for name in names.rev() {
            firsts[name.len() % 32] = count;
            count -= 1;
        }
        Self(firsts)
    }

    /// Where what has a name stands first, among what the names were taken of.
    #[inline]
    fn position<T>(&self, named: &[T], name: &str, is_it: impl Fn(&T) -> bool) -> Option<usize> {
        let first = usize::from(self.0[name.len() % 32]).checked_sub(1)?;
        if is_it(named.get(first)?) {
            return Some(first);
        }
        position_after(named, first, is_it)
    }
}

#[cold]
#[inline(never)]
fn position_after<T>(named: &[T], first: usize, is_it: impl Fn(&T) -> bool) -> Option<usize> {
    (first + 1..named.len()).find(|at| is_it(&named[*at]))
}

/// Most are in the same case.
#[inline]
fn is_name(key: &str, name: &str) -> bool {
    is_same(key, name) || (key.len() == name.len() && is_name_in_any_case(key, name))
}

#[cold]
#[inline(never)]
fn is_name_in_any_case(key: &str, name: &str) -> bool {
    key.eq_ignore_ascii_case(name)
}

/// The same as `==`, which calls a function to compare what is compared here with a few instructions: both ends, which
/// meet in the middle.
#[inline]
fn is_same(key: &str, name: &str) -> bool {
    let (key, name) = (key.as_bytes(), name.as_bytes());
    key.len() == name.len()
        && match key.len() {
            8..=16 => ends::<8>(key) == ends(name),
            17..=32 => ends::<16>(key) == ends(name),
            _ => key == name,
        }
}

#[inline]
fn ends<const BYTES: usize>(text: &[u8]) -> Option<[&[u8; BYTES]; 2]> {
    Some([text.first_chunk()?, text.last_chunk()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which must be the same alone and with others.
    fn values<'a>(carrier: &'a impl Extract, name: &'static str) -> Vec<&'a str> {
        let alone: Vec<_> = carrier.values(name).collect();
        let mut found = Vec::new();
        carrier.find(&["none", name], |at, value| found.push((at, value)));
        let expected: Vec<_> = alone.iter().map(|value| (1, *value)).collect();
        assert!(name == "none" || found == expected);
        alone
    }

    #[test]
    fn names_match_in_any_case_and_values_are_replaced() {
        let mut pairs = vec![("X-Name".to_owned(), "1".to_owned())];
        assert_eq!(values(&pairs, "x-name"), ["1"]);
        pairs.set("x-name", "2");
        assert_eq!(pairs, [("x-name".to_owned(), "2".to_owned())]);
        pairs.push(("X-NAME".to_owned(), "3".to_owned()));
        assert_eq!(values(&pairs, "x-name"), ["2", "3"]);
        let mut map = HashMap::from([("B3".to_owned(), "0".to_owned())]);
        assert_eq!(values(&map, "b3"), ["0"]);
        map.set("other", "1");
        map.set_all(&[
            ("other", "2"),
            ("one more", "3"),
            ("x-datadog-trace-id", "4"),
        ]);
        map.set_all(&[("x-datadog-trace-if", "5"), ("x-datadog-trace-id", "6")]);
        assert_eq!((map.len(), &*map["other"]), (5, "2"));
        assert_eq!(
            (&*map["x-datadog-trace-if"], &*map["x-datadog-trace-id"]),
            ("5", "6")
        );
        let of_others = [("X-Name", "1"), ("Other-Name", "1")];
        let mut forwarded: HashMap<String, String> =
            HashMap::from(of_others.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut sorted: BTreeMap<_, _> = forwarded.clone().into_iter().collect();
        forwarded.set_all(&[("x-name", "2")]);
        forwarded.set("other-name", "3");
        sorted.set("x-name", "2");
        assert_eq!(
            (values(&forwarded, "x-name"), values(&sorted, "x-name")),
            (vec!["2"], vec!["2"])
        );
        assert_eq!(values(&forwarded, "other-name"), ["3"]);
        let mut tree: BTreeMap<String, String> = map.into_iter().collect();
        tree.set("other", "2");
        assert_eq!(values(&tree, "OTHER"), ["2"]);
        assert!(values(&tree, "none").is_empty());
    }

    #[test]
    fn names_of_one_length_are_told_apart() {
        let mut names: Vec<String> = (0..300).map(|at| format!("x-{at:03}")).collect();
        names.extend((0..40).map(|len| "y".repeat(len)));
        let names: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).collect();
        let pairs: Vec<_> = names
            .iter()
            .map(|name| (name.to_uppercase(), name))
            .collect();
        let mut found = Vec::new();
        pairs.find(&names, |at, value| found.push((at, value)));
        assert!(found.into_iter().eq(names.iter().copied().enumerate()));
        for (at, name) in names.iter().enumerate() {
            for (other_at, other) in names.iter().enumerate() {
                assert_eq!(is_same(name, other), at == other_at, "{name} {other}");
            }
        }
    }
}
