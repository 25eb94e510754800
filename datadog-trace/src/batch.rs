//! Finished spans, one behind the other in memory that is only written to until the worker reads it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::span_data::{Extras, SpanData};
use crate::tags::{Range, Tags};
use crate::ticks::Ticks;

/// Finished spans of one trace. Their tags stand together in common lists.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    spans: Vec<Finished>,
    tags: Tags,
    /// What the spans occupy beside these lists.
    heap: usize,
}

/// A finished span, without its tags.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) span_id: u64,
    pub(crate) parent_id: u64,
    pub(crate) is_local_root: bool,
    pub(crate) top_level: bool,
    pub(crate) error: bool,
    pub(crate) start: Ticks,
    pub(crate) end: Ticks,
    pub(crate) name: Cow<'static, str>,
    pub(crate) service: Option<Arc<str>>,
    pub(crate) resource: Option<Cow<'static, str>>,
    pub(crate) span_type: Option<Cow<'static, str>>,
    pub(crate) extras: Option<Box<Extras>>,
    texts: Range,
    numbers: Range,
}

/// A finished span with its tags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedSpan<'a> {
    pub(crate) span: &'a Finished,
    tags: &'a Tags,
}

impl Batch {
    /// Takes everything out of `span`, which may then be used again.
    #[inline(always)]
    pub(crate) fn push(&mut self, span: &mut SpanData) {
        let heap = span.heap_bytes();
        self.heap += heap;
        let (texts, numbers) = self.tags.append(&mut span.tags);
        self.spans.push(Finished {
            span_id: span.span_id,
            parent_id: span.parent_id,
            is_local_root: span.is_local_root,
            top_level: std::mem::take(&mut span.top_level),
            error: std::mem::take(&mut span.error),
            start: span.start,
            end: span.end,
            name: std::mem::take(&mut span.name),
            service: span.service.take(),
            resource: span.resource.take(),
            span_type: span.span_type.take(),
            extras: span.extras.take(),
            texts,
            numbers,
        });
    }

    /// Takes all spans of another batch.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let (texts, numbers) = self.tags.append(&mut other.tags);
        let shift = |range: Range, by: u32| (range.0 + by, range.1 + by);
        for mut span in other.spans.drain(..) {
            span.texts = shift(span.texts, texts.0);
            span.numbers = shift(span.numbers, numbers.0);
            self.spans.push(span);
        }
        self.heap += std::mem::take(&mut other.heap);
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn spans(&self) -> impl ExactSizeIterator<Item = FinishedSpan<'_>> {
        let tags = &self.tags;
        self.spans
            .iter()
            .map(move |span| FinishedSpan { span, tags })
    }

    pub(crate) fn spans_mut(&mut self) -> impl Iterator<Item = &mut Finished> {
        self.spans.iter_mut()
    }

    /// Replaces the text tags that `change` has something else for.
    pub(crate) fn change_texts(
        &mut self,
        change: impl Fn(&Finished, &str, &str) -> Option<Cow<'static, str>>,
    ) {
        for span in &self.spans {
            let change = |key: &str, text: &str| change(span, key, text);
            self.tags.change_at(span.texts, change);
        }
    }

    /// Forgets all spans but those that `keep` says yes to.
    pub(crate) fn retain(&mut self, keep: impl Fn(FinishedSpan<'_>) -> bool) {
        let tags = &self.tags;
        self.spans.retain(|span| keep(FinishedSpan { span, tags }));
    }

    /// Moves the first span of the trace in this process to the front, if it is here.
    pub(crate) fn root_first(&mut self) {
        if let Some(root) = self.spans.iter().position(|span| span.is_local_root) {
            self.spans.swap(0, root);
        }
    }

    /// How many bytes the spans occupy.
    pub(crate) fn bytes(&self) -> usize {
        self.spans.len() * size_of::<Finished>() + self.tags.bytes() + self.heap
    }

    /// How many bytes it keeps when it is empty.
    pub(crate) fn capacity(&self) -> usize {
        self.spans.capacity() * size_of::<Finished>() + self.tags.capacity()
    }

    /// Forgets the spans but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.tags.clear();
        self.heap = 0;
    }
}

impl<'a> FinishedSpan<'a> {
    pub(crate) fn texts(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.tags.texts_at(self.span.texts)
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = (&'a str, f64)> {
        self.tags.numbers_at(self.span.numbers)
    }

    pub(crate) fn has_tag(self, key: &str) -> bool {
        self.texts().any(|(known, _)| known == key) || self.numbers().any(|(known, _)| known == key)
    }
}

impl Finished {
    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(crate) fn resource(&self) -> &str {
        self.resource.as_ref().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u64, tags: &[(&'static str, &str)]) -> SpanData {
        let mut span = SpanData {
            span_id: id,
            is_local_root: id == 1,
            ..SpanData::default()
        };
        for (key, value) in tags {
            span.tags.set_text((*key).into(), value);
        }
        span.tags.set_number("id".into(), id as f64);
        span
    }

    fn shown(batch: &Batch) -> Vec<String> {
        let show = |span: FinishedSpan<'_>| {
            let texts: Vec<String> = span
                .texts()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let numbers: Vec<f64> = span.numbers().map(|(_, number)| number).collect();
            format!("{} {} {numbers:?}", span.span.span_id, texts.join(","))
        };
        batch.spans().map(show).collect()
    }

    #[test]
    fn spans_keep_their_tags_through_everything() {
        let (mut one, mut other) = (Batch::default(), Batch::default());
        let mut first = span(3, &[("a", "x"), ("b", "yy")]);
        one.push(&mut first);
        assert!(!first.tags.has("a") && first.tags.capacity() > 0);
        other.push(&mut span(2, &[]));
        other.push(&mut span(1, &[("c", "zzz")]));
        one.append(&mut other);
        assert_eq!((one.len(), other.len(), other.bytes()), (3, 0, 0));
        assert_eq!(
            shown(&one),
            ["3 a=x,b=yy [3.0]", "2  [2.0]", "1 c=zzz [1.0]"]
        );
        one.root_first();
        assert_eq!(
            shown(&one),
            ["1 c=zzz [1.0]", "2  [2.0]", "3 a=x,b=yy [3.0]"]
        );
        let span = one.spans().nth(2).unwrap();
        assert!(span.has_tag("b") && span.has_tag("id") && !span.has_tag("c"));
        let capacity = one.capacity();
        one.clear();
        assert_eq!((one.bytes(), one.capacity()), (0, capacity));
    }
}
