//! The tags and texts of several spans in common lists, by the range of each.

use std::borrow::Cow;

use super::{MOST_BUFFER, MOST_TAGS, Place, Tags, Text, Value};
use crate::TagValue;

/// Where the tags and texts of one span stand among those of others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// The first tag.
    tags: u32,
    count: u32,
    /// Where the places of its texts are counted from.
    buffer: u32,
}

impl Range {
    pub(crate) const NONE: Self = Self {
        tags: 0,
        count: 0,
        buffer: 0,
    };

    /// Of the first span.
    #[cfg(test)]
    pub(super) fn first(count: u32) -> Self {
        Self {
            count,
            ..Self::NONE
        }
    }

    /// The same, after the tags of a batch were put behind those of another.
    pub(crate) fn behind(&mut self, batch: Self) {
        self.tags += batch.tags;
        self.buffer += batch.buffer;
    }
}

impl Tags {
    /// Keeps a text of the span whose tags were [appended](Self::append) last, for [`text_at`](Self::text_at). A static one
    /// stays where it is, too, to be written over.
    #[inline]
    pub(crate) fn keep(&mut self, text: &mut Cow<'static, str>, range: Range) -> Text {
        match text {
            Cow::Borrowed(text) => Text::Static(text),
            // The place travels in a register.
            Cow::Owned(owned) => {
                let place = self.keep_owned(owned, range);
                *text = Cow::Borrowed("");
                Text::Here(place)
            }
        }
    }

    /// The same of a text that few spans have, which is taken.
    #[inline]
    pub(crate) fn keep_some(
        &mut self,
        text: &mut Option<Cow<'static, str>>,
        range: Range,
    ) -> Option<Text> {
        text.as_ref()?;
        let mut text = text.take()?;
        Some(self.keep(&mut text, range))
    }

    #[inline(never)]
    fn keep_owned(&mut self, text: &str, range: Range) -> Place {
        let fits = text.len() <= MOST_BUFFER;
        self.push_text_at(range, if fits { text } else { "" })
    }

    /// The place as the span counts it.
    fn push_text_at(&mut self, range: Range, text: &str) -> Place {
        let Place { start, end } = self.push_text(text);
        Place {
            start: start - range.buffer,
            end: end - range.buffer,
        }
    }

    /// Takes the tags of another span, or of a batch of spans, and keeps them apart from those that are here. Where they
    /// stand.
    #[inline(always)]
    pub(crate) fn append(&mut self, other: &mut Self) -> Range {
        // A chunk has some thousand spans at most, far from the end of 32 bits.
        let range = Range {
            tags: self.tags.len() as u32,
            count: other.tags.len() as u32,
            buffer: self.buffer.len() as u32,
        };
        if !other.buffer.is_empty() {
            self.buffer.push_str(&other.buffer);
            other.buffer.clear();
        }
        other.dead = 0;
        if !other.tags.is_empty() {
            self.tags.append(&mut other.tags);
        }
        range
    }

    #[inline]
    fn at(&self, range: Range) -> (&[(Text, Value)], &str) {
        let start = range.tags as usize;
        let tags = self.tags.get(start..start + range.count as usize);
        let buffer = self.buffer.get(range.buffer as usize..);
        (tags.unwrap_or_default(), buffer.unwrap_or_default())
    }

    /// A text that was [kept](Self::keep).
    #[inline]
    pub(crate) fn text_at(&self, range: Range, text: Text) -> &str {
        match text {
            Text::Static(text) => text,
            Text::Here(place) => place.of(self.at(range).1),
        }
    }

    pub(crate) fn has_at(&self, range: Range, key: &str) -> bool {
        let (tags, buffer) = self.at(range);
        tags.iter().any(|(known, _)| known.of(buffer) == key)
    }

    pub(crate) fn texts_at(&self, range: Range) -> impl Iterator<Item = (&str, &str)> {
        let (tags, buffer) = self.at(range);
        tags.iter().filter_map(move |(key, value)| match value {
            Value::Text(place) => Some((key.of(buffer), place.of(buffer))),
            Value::Number(_) => None,
        })
    }

    /// Replaces the texts that `change` has something else for, by their keys and what they are.
    pub(crate) fn change_at(
        &mut self,
        range: Range,
        change: impl Fn(&Self, &str, &str) -> Option<Cow<'static, str>>,
    ) {
        let start = range.tags as usize;
        for at in start..start + range.count as usize {
            let Some((key, Value::Text(place))) = self.tags.get(at) else {
                continue;
            };
            let (_, buffer) = self.at(range);
            let Some(changed) = change(self, key.of(buffer), place.of(buffer)) else {
                continue;
            };
            let place = self.push_text_at(range, &changed);
            self.tags[at].1 = Value::Text(place);
        }
    }

    /// Sets texts among the tags of a range, which move behind all others for that. Where they stand then.
    pub(crate) fn set_at(
        &mut self,
        range: Range,
        texts: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Range {
        let old = range.tags as usize;
        let new = self.tags.len();
        self.tags
            .extend_from_within(old..old + range.count as usize);
        let mut moved = Range {
            tags: new as u32,
            ..range
        };
        for (key, text) in texts {
            let value = Value::Text(self.push_text_at(range, &text));
            let (tags, buffer) = self.at(moved);
            match tags.iter().position(|(known, _)| known.of(buffer) == key) {
                Some(at) => self.tags[new + at].1 = value,
                None => {
                    self.tags.push((Text::Static(key), value));
                    moved.count += 1;
                }
            }
        }
        moved
    }

    /// Adds tags to those of the range that was appended last, with keys that it does not have yet.
    #[inline(always)]
    pub(crate) fn add_at<'a>(
        &mut self,
        range: Range,
        tags: impl Iterator<Item = (&'static str, TagValue<'a>)>,
    ) -> Range {
        let most = range.tags as usize + MOST_TAGS;
        tags.for_each(|(key, value)| {
            let value = match value {
                TagValue::Number(number) if number.is_finite() => Some(Value::Number(number)),
                TagValue::Number(number) => self.text_value_at(range, &number.to_string()),
                TagValue::Text(text) => self.text_value_at(range, &text),
            };
            if let Some(value) = value
                && self.tags.len() < most
            {
                self.tags.push((Text::Static(key), value));
            }
        });
        Range {
            count: self.tags.len() as u32 - range.tags,
            ..range
        }
    }

    /// A text among those of a range, if there is room for it.
    #[inline]
    fn text_value_at(&mut self, range: Range, text: &str) -> Option<Value> {
        let fits = self.buffer.len() - range.buffer as usize + text.len() <= MOST_BUFFER;
        fits.then(|| Value::Text(self.push_text_at(range, text)))
    }

    pub(crate) fn numbers_at(&self, range: Range) -> impl Iterator<Item = (&str, f64)> {
        let (tags, buffer) = self.at(range);
        tags.iter().filter_map(move |(key, value)| match value {
            Value::Number(number) => Some((key.of(buffer), *number)),
            Value::Text(_) => None,
        })
    }
}
