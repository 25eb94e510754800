//! What callers may give as tags.

/// The tags of one call.
///
/// Implemented for `()`, arrays, slices and vectors of [`Tag`]s, and for references to them:
///
/// ```
/// # fn takes(_: impl datadog_metrics::Tags) {}
/// takes(());
/// takes([("route", "/cart"), ("method", "get")]);
/// takes(["route:/cart", "canary"]);
/// takes(&vec![("route".to_owned(), String::from("/cart"))]);
/// ```
pub trait Tags {
    /// Each tag: its key and value, or `key:value` or a word and no value.
    ///
    /// Equal tags must come in the same form each time; their order does not matter.
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)>;
}

/// One tag: a pair of key and value, or a text `key:value` or `word`.
pub trait Tag {
    /// The key and the value, or the whole text and no value.
    fn parts(&self) -> (&str, Option<&str>);
}

impl Tag for str {
    #[inline]
    fn parts(&self) -> (&str, Option<&str>) {
        (self, None)
    }
}

impl Tag for String {
    #[inline]
    fn parts(&self) -> (&str, Option<&str>) {
        (self, None)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Tag for (K, V) {
    #[inline]
    fn parts(&self) -> (&str, Option<&str>) {
        (self.0.as_ref(), Some(self.1.as_ref()))
    }
}

impl<T: Tag + ?Sized> Tag for &T {
    #[inline]
    fn parts(&self) -> (&str, Option<&str>) {
        (**self).parts()
    }
}

impl Tags for () {
    #[inline]
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        std::iter::empty()
    }
}

impl<T: Tag> Tags for [T] {
    #[inline]
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.iter().map(Tag::parts)
    }
}

impl<T: Tag, const N: usize> Tags for [T; N] {
    #[inline]
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.as_slice().tags()
    }
}

impl<T: Tag> Tags for Vec<T> {
    #[inline]
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.as_slice().tags()
    }
}

impl<T: Tags + ?Sized> Tags for &T {
    #[inline]
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        (**self).tags()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(tags: impl Tags) -> Vec<String> {
        let tags = tags.tags();
        tags.map(|(key, value)| format!("{key}={value:?}"))
            .collect()
    }

    #[test]
    fn every_form_is_taken() {
        let pair = ["a=Some(\"b\")"];
        assert_eq!(seen([("a", "b")]), pair);
        assert_eq!(seen(&[("a", String::from("b"))]), pair);
        assert_eq!(seen([("a", "b")].as_slice()), pair);
        assert_eq!(seen(vec![("a".to_owned(), "b")]), pair);
        let kept = vec![&("a", "b")];
        assert_eq!(seen(&kept), pair);
        assert_eq!(seen(kept), pair);
        let text = ["a:b=None"];
        assert_eq!(seen(["a:b"]), text);
        assert_eq!(seen(&["a:b".to_owned()]), text);
        assert_eq!(seen(vec!["a:b"]), text);
        assert!(seen(()).is_empty());
    }
}
