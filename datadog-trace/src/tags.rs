//! The tags of one span, in memory that is used again.

use std::borrow::Cow;

/// A tag's key. Static ones are kept as pointers.
pub(crate) type Key = Cow<'static, str>;

/// The most tags of one span: more would take longer to look through than they are worth.
const MOST_TAGS: usize = 1000;

/// So many bytes may be lost to texts that were replaced before the others are moved together.
const MOST_DEAD: usize = 4096;

/// Text and number tags. Spans have few: a scan beats a map. All texts share one buffer, so that a span that is used
/// again takes no memory for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags {
    buffer: String,
    /// Bytes of the buffer that no text stands at any more.
    dead: usize,
    texts: Vec<(Key, Place)>,
    numbers: Vec<(Key, f64)>,
}

/// Where a text stands in the buffer.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The most bytes of a text, so that places have 32 bits. Far above what the agent takes.
const MOST_TEXT: usize = 1 << 24;

/// The most bytes of all texts.
const MOST_BUFFER: usize = 1 << 30;

/// Where the tags of one span stand among others: from the first to before the last.
pub(crate) type Range = (u32, u32);

impl Tags {
    /// Sets a text; a number of the same key goes. A new key beyond the most that a span may have is left out.
    #[inline]
    pub(crate) fn set_text(&mut self, key: Key, text: &str) {
        if let Some(place) = self.place_text(&key, text) {
            self.texts.push((key, place));
        }
    }

    /// Where the text stands, if its key is not there yet.
    fn place_text(&mut self, key: &str, text: &str) -> Option<Place> {
        let fits = text.len() <= MOST_TEXT && self.buffer.len() + text.len() <= MOST_BUFFER;
        if !fits || (self.is_full() && !self.has(key)) {
            return None;
        }
        if let Some(at) = self.numbers.iter().position(|(known, _)| known == key) {
            self.numbers.remove(at);
        }
        let place = self.push_text(text);
        let Some((_, known)) = self.texts.iter_mut().find(|(known, _)| known == key) else {
            return Some(place);
        };
        self.dead += known.len();
        *known = place;
        if self.dead > MOST_DEAD && self.dead > self.buffer.len() / 2 {
            self.compact();
        }
        None
    }

    fn push_text(&mut self, text: &str) -> Place {
        let start = self.buffer.len() as u32;
        self.buffer.push_str(text);
        Place {
            start,
            end: self.buffer.len() as u32,
        }
    }

    /// Moves the texts together, for a span whose tags change all the time.
    fn compact(&mut self) {
        let mut buffer = String::with_capacity(self.buffer.len() - self.dead);
        for (_, place) in &mut self.texts {
            let start = buffer.len() as u32;
            let text = self.buffer.get(place.start as usize..place.end as usize);
            buffer.push_str(text.unwrap_or_default());
            *place = Place {
                start,
                end: buffer.len() as u32,
            };
        }
        self.buffer = buffer;
        self.dead = 0;
    }

    fn is_full(&self) -> bool {
        self.texts.len() + self.numbers.len() >= MOST_TAGS
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.texts.iter().any(|(known, _)| known == key)
            || self.numbers.iter().any(|(known, _)| known == key)
    }

    /// Sets a number; a text of the same key goes. What is no finite number becomes a text, as no receiver takes it.
    #[inline]
    pub(crate) fn set_number(&mut self, key: Key, number: f64) {
        if !number.is_finite() {
            return self.set_text(key, &number.to_string());
        }
        if self.place_number(&key, number) {
            self.numbers.push((key, number));
        }
    }

    /// Whether the key is not there yet.
    fn place_number(&mut self, key: &str, number: f64) -> bool {
        if self.is_full() && !self.has(key) {
            return false;
        }
        if let Some(at) = self.texts.iter().position(|(known, _)| known == key) {
            self.texts.remove(at);
        }
        let known = self.numbers.iter_mut().find(|(known, _)| known == key);
        known.map(|(_, known)| *known = number).is_none()
    }

    /// The text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let (_, place) = self.texts.iter().find(|(known, _)| known == key)?;
        Some(self.at(*place))
    }

    /// The number of a key.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        let (_, number) = self.numbers.iter().find(|(known, _)| known == key)?;
        Some(*number)
    }

    /// Takes the tags of another span, and keeps them apart from those that are here. Where they stand: the ranges
    /// for [`texts_at`](Self::texts_at) and [`numbers_at`](Self::numbers_at).
    #[inline(always)]
    pub(crate) fn append(&mut self, other: &mut Self) -> (Range, Range) {
        // A chunk has some thousand spans at most, far from the end of 32 bits.
        let before = (self.texts.len() as u32, self.numbers.len() as u32);
        if !other.texts.is_empty() {
            let shift = self.buffer.len() as u32;
            self.buffer.push_str(&other.buffer);
            self.texts.append(&mut other.texts);
            for (_, place) in self.texts.iter_mut().skip(before.0 as usize) {
                place.start += shift;
                place.end += shift;
            }
        }
        if !other.numbers.is_empty() {
            self.numbers.append(&mut other.numbers);
        }
        other.buffer.clear();
        other.dead = 0;
        let texts = (before.0, self.texts.len() as u32);
        (texts, (before.1, self.numbers.len() as u32))
    }

    pub(crate) fn texts_at(&self, range: Range) -> impl Iterator<Item = (&str, &str)> {
        let texts = self
            .texts
            .get(range.0 as usize..range.1 as usize)
            .unwrap_or_default();
        texts.iter().map(|(key, place)| (&**key, self.at(*place)))
    }

    /// Replaces the texts that `change` has something else for, by their keys and what they are.
    pub(crate) fn change_at(
        &mut self,
        range: Range,
        change: impl Fn(&str, &str) -> Option<Cow<'static, str>>,
    ) {
        for at in range.0 as usize..range.1 as usize {
            let Some((key, place)) = self.texts.get(at) else {
                return;
            };
            let Some(changed) = change(key, self.at(*place)) else {
                continue;
            };
            let place = self.push_text(&changed);
            self.texts[at].1 = place;
        }
    }

    pub(crate) fn numbers_at(&self, range: Range) -> impl Iterator<Item = (&str, f64)> {
        let numbers = self
            .numbers
            .get(range.0 as usize..range.1 as usize)
            .unwrap_or_default();
        numbers.iter().map(|(key, number)| (&**key, *number))
    }

    /// Forgets the tags but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.dead = 0;
        self.texts.clear();
        self.numbers.clear();
    }

    /// How many bytes the tags occupy, keys that are not static left out.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len()
            + self.texts.len() * size_of::<(Key, Place)>()
            + self.numbers.len() * size_of::<(Key, f64)>()
    }

    /// How many bytes there are for tags.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
            + self.texts.capacity() * size_of::<(Key, Place)>()
            + self.numbers.capacity() * size_of::<(Key, f64)>()
    }

    fn at(&self, place: Place) -> &str {
        self.buffer
            .get(place.start as usize..place.end as usize)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts_whatever_its_type() {
        let mut tags = Tags::default();
        tags.set_text("a".into(), "one");
        tags.set_text("b".into(), "");
        tags.set_text("a".into(), "two");
        assert_eq!(
            tags.texts_at((0, 2)).collect::<Vec<_>>(),
            [("a", "two"), ("b", "")]
        );
        tags.set_number("a".into(), 3.0);
        assert_eq!((tags.text("a"), tags.number("a")), (None, Some(3.0)));
        tags.set_text("a".into(), "four");
        assert_eq!((tags.text("a"), tags.number("a")), (Some("four"), None));
        assert!(tags.has("b") && !tags.has("c"));
        let memory = tags.capacity();
        tags.clear();
        assert_eq!((tags.bytes(), tags.capacity()), (0, memory));
        assert!(!tags.has("b"));
    }

    #[test]
    fn a_tag_that_changes_all_the_time_does_not_grow() {
        let mut tags = Tags::default();
        tags.set_text("fixed".into(), "stays");
        let last = if cfg!(miri) { 500 } else { 100_000 };
        for number in 0..=last {
            tags.set_text("progress".into(), &format!("{number} of many"));
        }
        assert!(tags.bytes() < 4 * MOST_DEAD, "{}", tags.bytes());
        assert_eq!(tags.text("progress"), Some(&*format!("{last} of many")));
        assert_eq!(tags.text("fixed"), Some("stays"));
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
        assert_eq!(tags.texts.len() + tags.numbers.len(), MOST_TAGS);
        assert_eq!(tags.text("ratio"), Some("known"));
    }
}
