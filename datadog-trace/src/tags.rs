//! The tags of one span, in memory that is used again.

mod range;
mod value;

use std::borrow::Cow;

pub(crate) use range::Range;
use value::{Seen, Value};

use crate::{TagValue, prefetch};

/// A tag's key. Static ones are kept as pointers.
pub(crate) type Key = Cow<'static, str>;

/// The most tags of one span: more would take longer to look through than they are worth.
const MOST_TAGS: usize = 1000;

/// So many bytes may be lost to texts that were replaced before the others are moved together.
const MOST_DEAD: usize = 4096;

/// The most bytes of all texts of a span: about what the agent takes in a payload.
const MOST_BUFFER: usize = 1 << 25;
const _: () = assert!(MOST_BUFFER <= value::FURTHEST);

/// Text and number tags. Spans have few: a scan beats a map. All texts share one buffer, so that a span that is used
/// again takes no memory for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags {
    buffer: String,
    /// Bytes of the buffer that no text stands at any more.
    dead: usize,
    tags: Vec<(Text, Value)>,
}

/// A text that is static, or stands in a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text {
    Static(&'static str),
    Here(Place),
}

/// Where a text stands in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    start: u32,
    end: u32,
}

impl Tags {
    /// Sets a text, in place of an earlier value of the same key. A new key beyond the most that a span may have is left
    /// out.
    pub(crate) fn set_text(&mut self, key: Key, text: &str) {
        match key {
            Cow::Borrowed(key) => self.set_static_text(key, text),
            Cow::Owned(key) => self.set_owned(&key, text.len(), |tags| {
                let place = tags.push_text(text);
                Value::text(place)
            }),
        }
    }

    /// The same with a static key, which travels in registers until it is written where it stays: what is written
    /// elsewhere first has to be waited for.
    #[inline]
    pub(crate) fn set_static_text(&mut self, key: &'static str, text: &str) {
        let place = self.buffer.len()..self.buffer.len() + text.len();
        if self.is_surely_new(key) && place.end <= self.buffer.capacity().min(MOST_BUFFER) {
            let place = Place {
                start: place.start as u32,
                end: place.end as u32,
            };
            self.tags.push((Text::Static(key), Value::text(place)));
            self.buffer.push_str(text);
        } else {
            self.set_any_text(key, text);
        }
    }

    #[inline(never)]
    fn set_any_text(&mut self, key: &'static str, text: &str) {
        if !self.has_room(text.len()) {
            return;
        }
        match self.place_of(key) {
            None if self.tags.len() < MOST_TAGS => {
                let place = self.push_text(text);
                self.tags.push((Text::Static(key), Value::text(place)));
            }
            None => {}
            Some(at) => {
                let place = self.push_text(text);
                self.replace(at, Value::text(place));
            }
        }
    }

    /// Sets a number, like a text. What is no finite number becomes a text, as no receiver takes it.
    pub(crate) fn set_number(&mut self, key: Key, number: f64) {
        match key {
            Cow::Borrowed(key) => self.set_static_number(key, number),
            Cow::Owned(_) if !number.is_finite() => self.set_text(key, &number.to_string()),
            Cow::Owned(key) => self.set_owned(&key, 0, |_| Value::number(number)),
        }
    }

    /// The same with a static key.
    #[inline]
    pub(crate) fn set_static_number(&mut self, key: &'static str, number: f64) {
        if number.is_finite() && self.is_surely_new(key) {
            self.tags.push((Text::Static(key), Value::number(number)));
        } else {
            self.set_any_number(key, number);
        }
    }

    #[inline(never)]
    fn set_any_number(&mut self, key: &'static str, number: f64) {
        if !number.is_finite() {
            return self.set_any_text(key, &number.to_string());
        }
        match self.place_of(key) {
            None if self.tags.len() < MOST_TAGS => {
                self.tags.push((Text::Static(key), Value::number(number)));
            }
            None => {}
            Some(at) => self.replace(at, Value::number(number)),
        }
    }

    /// Sets a value that takes `bytes` of the buffer.
    fn set_owned(&mut self, key: &str, bytes: usize, value: impl FnOnce(&mut Self) -> Value) {
        if !self.has_room(key.len() + bytes) {
            return;
        }
        match self.place_of(key) {
            None if self.tags.len() < MOST_TAGS => {
                let key = self.push_text(key);
                let value = value(self);
                self.tags.push((Text::Here(key), value));
            }
            None => {}
            Some(at) => {
                let value = value(self);
                self.replace(at, value);
            }
        }
    }

    /// Sets tags with static keys. A span that has none yet is only searched for those that may come twice.
    #[inline]
    pub(crate) fn set_all<'a>(&mut self, tags: impl Iterator<Item = (&'static str, TagValue<'a>)>) {
        let mut seen = if self.tags.is_empty() { 0 } else { u64::MAX };
        for (key, value) in tags {
            // The same for the same keys, and mostly another one for others.
            let last = key.as_bytes().last().copied().unwrap_or_default();
            let mark = 1 << ((key.len() * 7 + usize::from(last)) % 64);
            let is_new = seen & mark == 0 && self.tags.len() < MOST_TAGS;
            seen |= mark;
            match value {
                TagValue::Text(text) if is_new && self.has_room(text.len()) => {
                    let value = Value::text(self.push_text(&text));
                    self.tags.push((Text::Static(key), value));
                }
                TagValue::Number(number) if is_new && number.is_finite() => {
                    self.tags.push((Text::Static(key), Value::number(number)));
                }
                TagValue::Text(text) => self.set_static_text(key, &text),
                TagValue::Number(number) => self.set_static_number(key, number),
            }
        }
    }

    /// Whether it is easily seen that there is no tag of this key, and there is memory for one. Most keys differ from all
    /// others in their lengths or last bytes: no function is called to compare them.
    #[inline]
    fn is_surely_new(&self, key: &str) -> bool {
        let looks_like_it = |(known, _): &(Text, Value)| match known {
            Text::Static(known) => {
                known.len() == key.len() && known.as_bytes().last() == key.as_bytes().last()
            }
            Text::Here(place) => place.len() == key.len(),
        };
        self.tags.len() < self.tags.capacity().min(MOST_TAGS)
            && !self.tags.iter().any(looks_like_it)
    }

    #[inline]
    fn has_room(&self, bytes: usize) -> bool {
        self.buffer.len() + bytes <= MOST_BUFFER
    }

    #[inline]
    fn place_of(&self, key: &str) -> Option<usize> {
        let is_key = |(known, _): &(Text, Value)| self.text_of(*known) == key;
        self.tags.iter().position(is_key)
    }

    #[inline]
    fn push_text(&mut self, text: &str) -> Place {
        let start = self.buffer.len() as u32;
        self.buffer.push_str(text);
        Place {
            start,
            end: self.buffer.len() as u32,
        }
    }

    #[inline(never)]
    fn replace(&mut self, at: usize, value: Value) {
        let Some((_, known)) = self.tags.get_mut(at) else {
            return;
        };
        if let Seen::Text(place) = known.seen() {
            self.dead += place.len();
        }
        *known = value;
        if self.dead > MOST_DEAD && self.dead > self.buffer.len() / 2 {
            self.compact();
        }
    }

    /// Moves the texts together, for a span whose tags change all the time.
    fn compact(&mut self) {
        let mut buffer = String::with_capacity(self.buffer.len().saturating_sub(self.dead));
        let mut moved = |place: Place| {
            let start = buffer.len() as u32;
            buffer.push_str(place.of(&self.buffer));
            Place {
                start,
                end: buffer.len() as u32,
            }
        };
        for (key, value) in &mut self.tags {
            if let Text::Here(place) = *key {
                *key = Text::Here(moved(place));
            }
            if let Seen::Text(place) = value.seen() {
                *value = Value::text(moved(place));
            }
        }
        self.buffer = buffer;
        self.dead = 0;
    }

    #[inline]
    fn text_of(&self, text: Text) -> &str {
        text.of(&self.buffer)
    }

    /// The text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let (_, value) = self.tags.get(self.place_of(key)?)?;
        match value.seen() {
            Seen::Text(place) => Some(place.of(&self.buffer)),
            Seen::Number(_) => None,
        }
    }

    /// The number of a key.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        let (_, value) = self.tags.get(self.place_of(key)?)?;
        match value.seen() {
            Seen::Number(number) => Some(number),
            Seen::Text(_) => None,
        }
    }

    /// Fetches the memory for some more tags.
    #[inline(always)]
    pub(crate) fn prefetch_more(&self) {
        prefetch::behind(&self.tags, 4 * size_of::<(Text, Value)>());
        prefetch::behind(self.buffer.as_bytes(), 1);
    }

    /// Fetches the memory of the tags.
    pub(crate) fn prefetch(&self) {
        prefetch::all(&self.tags);
        prefetch::all(self.buffer.as_bytes());
    }

    /// Forgets the tags but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.dead = 0;
        self.tags.clear();
    }

    /// How many bytes the tags occupy.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() + self.tags.len() * size_of::<(Text, Value)>()
    }

    /// How many bytes there are for tags.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity() + self.tags.capacity() * size_of::<(Text, Value)>()
    }
}

impl Place {
    #[inline]
    fn of(self, buffer: &str) -> &str {
        buffer
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

impl Text {
    #[inline]
    fn of(self, buffer: &str) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Here(place) => place.of(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_tags_that_are_set_together_the_last_of_a_key_counts() {
        let mut tags = Tags::default();
        let all = [("a", "x".into()), ("b", 1.into()), ("c", "z".into())];
        tags.set_all(all.into_iter());
        let again = [("a", "y".into()), ("d", 4.into()), ("d", "w".into())];
        let mut other = Tags::default();
        other.set_all(again.iter().cloned().chain([("a", 5.into())]));
        tags.set_all(again.into_iter());
        assert_eq!((tags.text("a"), tags.number("b")), (Some("y"), Some(1.0)));
        assert_eq!((tags.text("c"), tags.text("d")), (Some("z"), Some("w")));
        assert_eq!(tags.tags.len(), 4);
        assert_eq!((other.number("a"), other.text("d")), (Some(5.0), Some("w")));
        assert_eq!(other.tags.len(), 2);
    }

    #[test]
    fn keys_that_are_not_static_stand_with_the_texts() {
        assert_eq!(size_of::<Text>(), size_of::<&str>());
        let (mut all, mut tags) = (Tags::default(), Tags::default());
        all.set_text(format!("first{}", 1).into(), "x");
        tags.set_text(format!("second{}", 2).into(), "y");
        tags.set_number(format!("third{}", 3).into(), 3.0);
        let range = all.append(&mut tags);
        let kept = all.keep(&mut format!("kept{}", 4).into(), range);
        assert_eq!(all.text_at(range, kept), "kept4");
        let texts: Vec<_> = all.texts_at(range).collect();
        let numbers: Vec<_> = all.numbers_at(range).collect();
        assert_eq!(
            (texts, numbers),
            (vec![("second2", "y")], vec![("third3", 3.0)])
        );
        assert_eq!(all.text("first1"), Some("x"));
        assert!(all.has_at(range, "third3") && !all.has_at(range, "first1"));
    }

    #[test]
    fn the_last_value_of_a_key_counts_whatever_its_type() {
        let mut tags = Tags::default();
        tags.set_text("a".into(), "one");
        tags.set_text("b".into(), "");
        tags.set_text("a".into(), "two");
        assert_eq!(
            tags.texts_at(Range::first(2)).collect::<Vec<_>>(),
            [("a", "two"), ("b", "")]
        );
        tags.set_number("a".into(), 3.0);
        assert_eq!((tags.text("a"), tags.number("a")), (None, Some(3.0)));
        tags.set_text("a".into(), "four");
        assert_eq!((tags.text("a"), tags.number("a")), (Some("four"), None));
        assert_eq!((tags.text("b"), tags.text("c")), (Some(""), None));
        let memory = tags.capacity();
        tags.clear();
        assert_eq!((tags.bytes(), tags.capacity()), (0, memory));
        assert_eq!(tags.text("b"), None);
    }

    #[test]
    fn many_at_once_are_as_one_by_one() {
        let given = || {
            [
                ("a", TagValue::from("one")),
                ("b", 2.into()),
                ("c", true.into()),
                ("d", f64::INFINITY.into()),
            ]
            .into_iter()
        };
        let mut tags = Tags::default();
        for _ in 0..2 {
            tags.set_all(given());
            let texts: Vec<_> = tags.texts_at(Range::first(4)).collect();
            assert_eq!(texts, [("a", "one"), ("c", "true"), ("d", "inf")]);
            assert_eq!(
                tags.numbers_at(Range::first(4)).collect::<Vec<_>>(),
                [("b", 2.0)]
            );
            assert_eq!(tags.tags.len(), 4);
        }
        tags.set_all([("b", TagValue::from("text"))].into_iter());
        assert_eq!((tags.text("b"), tags.number("b")), (Some("text"), None));
    }

    #[test]
    fn a_tag_that_changes_all_the_time_does_not_grow() {
        let mut tags = Tags::default();
        tags.set_text("fixed".into(), "stays");
        tags.set_text(format!("owned{}", 1).into(), "stays, too");
        let last = if cfg!(miri) { 500 } else { 100_000 };
        for number in 0..=last {
            tags.set_text("progress".into(), &format!("{number} of many"));
            // By turns a text and a number.
            let changing = format!("changing{}", number % 2);
            tags.set_text(changing.clone().into(), "text");
            tags.set_number(changing.into(), number.into());
        }
        assert!(tags.bytes() < 4 * MOST_DEAD, "{}", tags.bytes());
        assert_eq!(tags.text("progress"), Some(&*format!("{last} of many")));
        assert_eq!(tags.text("fixed"), Some("stays"));
        assert_eq!(tags.text("owned1"), Some("stays, too"));
        assert_eq!(tags.number("changing1"), Some(f64::from(last - 1)));
    }

    #[test]
    fn what_is_no_number_is_a_text_and_there_is_a_most() {
        let mut tags = Tags::default();
        tags.set_number("ratio".into(), f64::NAN);
        assert_eq!(tags.text("ratio"), Some("NaN"));
        for number in 0..2 * MOST_TAGS {
            tags.set_number(format!("key{number}").into(), 1.0);
        }
        tags.set_text("ratio".into(), "known");
        assert_eq!(tags.tags.len(), MOST_TAGS);
        assert_eq!(tags.text("ratio"), Some("known"));
        let bytes = tags.bytes();
        for number in 0..100 {
            tags.set_text(format!("more{number}").into(), "one too many");
        }
        assert_eq!(tags.bytes(), bytes, "what has no place is not kept");
    }
}
