//! The tags and texts of several spans in common lists, by the range of each.

use std::borrow::Cow;

use super::value::FURTHEST;
use super::{MOST_BUFFER, MOST_TAGS, Place, Seen, Tags, Text, Value};
use crate::TagValue;

/// Where the tags and texts of one span stand among those of others. The resource and the type, where the span has its own,
/// stand behind the tags, in the places of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    start: Start,
    count: u16,
    has_resource: bool,
    has_type: bool,
}

/// Where the tags and texts of a span, or of a batch, begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    tags: u32,
    /// Where the places of texts are counted from.
    buffer: u32,
}

impl Range {
    pub(crate) const NONE: Self = Self {
        start: Start { tags: 0, buffer: 0 },
        count: 0,
        has_resource: false,
        has_type: false,
    };

    /// Of the first span.
    #[cfg(test)]
    pub(super) fn first(count: u16) -> Self {
        Self {
            count,
            ..Self::NONE
        }
    }

    /// The same, after the tags of a batch were put behind those of another, where they begin.
    pub(crate) fn behind(self, batch: Start) -> Self {
        let start = Start {
            tags: self.start.tags + batch.tags,
            buffer: self.start.buffer + batch.buffer,
        };
        Self { start, ..self }
    }

    /// Behind the last tag.
    fn end(self) -> usize {
        self.start.tags as usize + usize::from(self.count)
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

    #[inline(never)]
    fn keep_owned(&mut self, text: &str, range: Range) -> Place {
        self.push_text_at(range, text)
    }

    /// Adds its own resource to the span whose tags were appended last.
    pub(crate) fn add_resource_at(&mut self, range: Range, text: &mut Cow<'static, str>) -> Range {
        self.add_own_at(range, text);
        Range {
            has_resource: true,
            ..range
        }
    }

    /// Adds a type to the span whose tags, and resource, were appended last.
    pub(crate) fn add_type_at(&mut self, range: Range, text: &mut Cow<'static, str>) -> Range {
        self.add_own_at(range, text);
        Range {
            has_type: true,
            ..range
        }
    }

    fn add_own_at(&mut self, range: Range, text: &mut Cow<'static, str>) {
        let text = self.keep(text, range);
        self.tags.push((text, NO_VALUE));
    }

    /// The place as the span counts it. What is out of reach is left out.
    #[inline]
    fn push_text_at(&mut self, range: Range, text: &str) -> Place {
        let place = self.push_within(range, text, FURTHEST);
        place.unwrap_or(Place { start: 0, end: 0 })
    }

    /// The same for a text that is to reach no further than `most`, if it does not.
    #[inline]
    fn push_within(&mut self, range: Range, text: &str, most: usize) -> Option<Place> {
        let start = range.start.buffer;
        let reached = self.buffer.len() - start as usize + text.len();
        (reached <= most).then(|| {
            let place = self.push_text(text);
            Place {
                start: place.start - start,
                end: place.end - start,
            }
        })
    }

    /// Takes the tags of another span and keeps them apart from those that are here. Where they stand.
    #[inline(always)]
    pub(crate) fn append(&mut self, other: &mut Self) -> Range {
        let count = other.tags.len() as u16;
        Range {
            start: self.append_all(other),
            count,
            ..Range::NONE
        }
    }

    /// The same for those of a batch. Where they begin.
    #[inline(always)]
    pub(crate) fn append_all(&mut self, other: &mut Self) -> Start {
        // A chunk has some thousand spans at most, far from the end of 32 bits.
        let start = Start {
            tags: self.tags.len() as u32,
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
        start
    }

    #[inline]
    fn at(&self, range: Range) -> (&[(Text, Value)], &str) {
        let tags = self.tags.get(range.start.tags as usize..range.end());
        (tags.unwrap_or_default(), self.buffer_at(range))
    }

    #[inline]
    fn buffer_at(&self, range: Range) -> &str {
        let buffer = self.buffer.get(range.start.buffer as usize..);
        buffer.unwrap_or_default()
    }

    /// A text that was [kept](Self::keep).
    #[inline]
    pub(crate) fn text_at(&self, range: Range, text: Text) -> &str {
        match text {
            Text::Static(text) => text,
            Text::Here(place) => place.of(self.buffer_at(range)),
        }
    }

    /// The resource, which is the name where the span has none of its own.
    #[inline]
    pub(crate) fn resource_at(&self, range: Range, name: Text) -> &str {
        let own = range.has_resource.then(|| self.tags.get(range.end()));
        self.text_at(range, own.flatten().map_or(name, |(resource, _)| *resource))
    }

    /// The type, empty for none.
    #[inline]
    pub(crate) fn type_at(&self, range: Range) -> &str {
        let place = range.end() + usize::from(range.has_resource);
        let own = range.has_type.then(|| self.tags.get(place)).flatten();
        own.map_or("", |(span_type, _)| self.text_at(range, *span_type))
    }

    pub(crate) fn has_at(&self, range: Range, key: &str) -> bool {
        let (tags, buffer) = self.at(range);
        tags.iter().any(|(known, _)| known.of(buffer) == key)
    }

    pub(crate) fn texts_at(&self, range: Range) -> impl Iterator<Item = (&str, &str)> {
        let (tags, buffer) = self.at(range);
        tags.iter()
            .filter_map(move |(key, value)| match value.seen() {
                Seen::Text(place) => Some((key.of(buffer), place.of(buffer))),
                Seen::Number(_) => None,
            })
    }

    pub(crate) fn numbers_at(&self, range: Range) -> impl Iterator<Item = (&str, f64)> {
        let (tags, buffer) = self.at(range);
        tags.iter()
            .filter_map(move |(key, value)| match value.seen() {
                Seen::Number(number) => Some((key.of(buffer), number)),
                Seen::Text(_) => None,
            })
    }

    /// Replaces the texts that `change` has something else for, by their keys and what they are.
    pub(crate) fn change_at(
        &mut self,
        range: Range,
        change: impl Fn(&Self, &str, &str) -> Option<Cow<'static, str>>,
    ) {
        for at in range.start.tags as usize..range.end() {
            let Some((key, value)) = self.tags.get(at) else {
                continue;
            };
            let Seen::Text(place) = value.seen() else {
                continue;
            };
            let buffer = self.buffer_at(range);
            let Some(changed) = change(self, key.of(buffer), place.of(buffer)) else {
                continue;
            };
            let place = self.push_text_at(range, &changed);
            self.tags[at].1 = Value::text(place);
        }
    }

    /// Replaces the resource of a span. Where its tags stand then.
    pub(crate) fn set_resource_at(&mut self, range: Range, resource: &str) -> Range {
        let resource = Text::Here(self.push_text_at(range, resource));
        if range.has_resource {
            self.tags[range.end()].0 = resource;
            return range;
        }
        let moved = self.move_behind(range);
        self.tags.insert(moved.end(), (resource, NO_VALUE));
        Range {
            has_resource: true,
            ..moved
        }
    }

    /// Sets texts among the tags of a range, which move behind all others for that. Where they stand then.
    pub(crate) fn set_at(
        &mut self,
        range: Range,
        texts: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Range {
        let mut moved = self.move_behind(range);
        for (key, text) in texts {
            let value = Value::text(self.push_text_at(range, &text));
            let (tags, buffer) = self.at(moved);
            match tags.iter().position(|(known, _)| known.of(buffer) == key) {
                Some(at) => self.tags[moved.start.tags as usize + at].1 = value,
                None => {
                    self.tags.insert(moved.end(), (Text::Static(key), value));
                    moved.count += 1;
                }
            }
        }
        moved
    }

    /// Moves what stands at a range behind all others.
    fn move_behind(&mut self, range: Range) -> Range {
        let own = usize::from(range.has_resource) + usize::from(range.has_type);
        let tags = self.tags.len() as u32;
        self.tags
            .extend_from_within(range.start.tags as usize..range.end() + own);
        let start = Start {
            tags,
            ..range.start
        };
        Range { start, ..range }
    }

    /// Adds tags to those of the range that was appended last, with keys that it does not have yet.
    #[inline(always)]
    pub(crate) fn add_at<'a>(
        &mut self,
        range: Range,
        tags: impl Iterator<Item = (&'static str, TagValue<'a>)>,
    ) -> Range {
        let start = range.start.tags as usize;
        tags.for_each(|(key, value)| {
            let value = match value {
                TagValue::Number(number) if number.is_finite() => Some(Value::number(number)),
                TagValue::Number(number) => self.text_value_at(range, &number.to_string()),
                TagValue::Text(text) => self.text_value_at(range, &text),
            };
            if let Some(value) = value
                && self.tags.len() < start + MOST_TAGS
            {
                self.tags.push((Text::Static(key), value));
            }
        });
        Range {
            count: (self.tags.len() - start) as u16,
            ..range
        }
    }

    /// A text among those of the range that was appended last, if there is room for it.
    #[inline]
    fn text_value_at(&mut self, range: Range, text: &str) -> Option<Value> {
        let place = self.push_within(range, text, MOST_BUFFER)?;
        Some(Value::text(place))
    }
}

/// Beside a resource or a type.
const NO_VALUE: Value = Value::number(0.0);
