//! Finished spans, one behind the other in memory that is only written to until the worker reads it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::TagValue;
use crate::prefetch;
use crate::reused::{Blank, Reused};
use crate::span_data::{Extras, SpanData};
use crate::tags::{Range, Tags, Text};
use crate::ticks::Ticks;

/// Finished spans of one trace. Their tags and texts stand together in common lists.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// What of it is not in use has neither services nor extras.
    spans: Reused<Finished>,
    tags: Tags,
    /// What the spans occupy beside these lists.
    heap: usize,
}

/// A finished span, without its tags and texts. Many of them may wait for the worker, hence every byte counts.
#[derive(Debug)]
pub(crate) struct Finished {
    // Not beside its end: the two would be copied at once, and wait for the end to be written.
    pub(crate) start: Ticks,
    pub(crate) span_id: u64,
    pub(crate) parent_id: u64,
    pub(crate) end: Ticks,
    name: Text,
    resource: Text,
    span_type: Text,
    pub(crate) service: Option<Arc<str>>,
    pub(crate) extras: Option<Box<Extras>>,
    tags: Range,
    pub(crate) is_local_root: bool,
    pub(crate) top_level: bool,
    pub(crate) error: bool,
}

/// A finished span with its tags and texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedSpan<'a> {
    pub(crate) span: &'a Finished,
    tags: &'a Tags,
}

impl Blank for Finished {
    const BLANK: Self = Self {
        span_id: 0,
        parent_id: 0,
        start: Ticks::ZERO,
        end: Ticks::ZERO,
        name: Text::Static(""),
        resource: Text::Static(""),
        span_type: Text::Static(""),
        service: None,
        extras: None,
        tags: Range::NONE,
        is_local_root: false,
        top_level: false,
        error: false,
    };
}

impl Batch {
    /// Takes everything out of `span`, which may then be used again. It ended then.
    #[inline(always)]
    pub(crate) fn push(&mut self, span: &mut SpanData, end: Ticks) {
        self.push_with(span, end, std::iter::empty());
    }

    /// The same with further tags, of keys that the span does not have yet.
    #[inline(always)]
    pub(crate) fn push_with<'a>(
        &mut self,
        span: &mut SpanData,
        end: Ticks,
        further: impl Iterator<Item = (&'static str, TagValue<'a>)>,
    ) {
        let tags = self.tags.append(&mut span.tags);
        let tags = self.tags.add_at(tags, further);
        let finished = self.spans.next();
        finished.span_id = span.span_id;
        finished.parent_id = span.parent_id;
        finished.start = span.start;
        finished.end = end;
        match (&span.name, &span.resource, &span.span_type) {
            (Cow::Borrowed(name), None, None) => {
                finished.name = Text::Static(name);
                finished.resource = finished.name;
                finished.span_type = Text::Static("");
            }
            _ => finished.take_texts(span, &mut self.tags, tags),
        }
        finished.tags = tags;
        finished.is_local_root = span.is_local_root;
        finished.top_level = span.top_level;
        finished.error = span.error;
        if span.service.is_some() | span.inherited.is_some() | span.extras.is_some() {
            self.heap += finished.take_rest(span);
        }
        // The memory comes back from the worker's processor: it is fetched while the program goes on, for the next span.
        prefetch::behind(&self.spans, size_of::<Finished>());
        self.tags.prefetch();
    }

    /// Takes all spans of another batch.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let batch = self.tags.append(&mut other.tags);
        for span in &mut *other.spans {
            span.tags.behind(batch);
            std::mem::swap(self.spans.next(), span);
        }
        other.spans.clear();
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

    /// Shows each span, to be changed.
    pub(crate) fn for_each_mut(&mut self, change: impl FnMut(&mut Finished)) {
        self.spans.iter_mut().for_each(change);
    }

    /// Marks the spans that are kept although their trace is not, by the rate and the limit that `kept` gives.
    pub(crate) fn keep_alone(
        &mut self,
        kept: impl Fn(FinishedSpan<'_>) -> Option<(f64, Option<f64>)>,
    ) {
        let tags = &self.tags;
        for span in &mut *self.spans {
            if let Some(by) = kept(FinishedSpan { span, tags }) {
                if span.extras.is_none() {
                    self.heap += size_of::<Extras>();
                }
                span.extras().kept_alone = Some(by);
            }
        }
    }

    /// Replaces the text tags that `change` has something else for, by the type of their span, their key and what they are.
    pub(crate) fn change_texts(
        &mut self,
        change: impl Fn(&str, &str, &str) -> Option<Cow<'static, str>>,
    ) {
        for span in &*self.spans {
            self.tags.change_at(span.tags, |tags, key, text| {
                change(tags.text_at(span.tags, span.span_type), key, text)
            });
        }
    }

    /// Replaces the resources that `change` has something else for, by the type of their span and what they are.
    pub(crate) fn change_resources(&mut self, change: impl Fn(&str, &str) -> Option<String>) {
        for span in &mut *self.spans {
            let text = |text| self.tags.text_at(span.tags, text);
            if let Some(changed) = change(text(span.span_type), text(span.resource)) {
                span.resource = self.tags.keep(&mut changed.into(), span.tags);
            }
        }
    }

    /// Sets text tags, in place of earlier ones of the same keys.
    pub(crate) fn set_texts(
        &mut self,
        texts: impl Fn(FinishedSpan<'_>) -> Vec<(&'static str, String)>,
    ) {
        let Self { spans, tags, .. } = self;
        for span in &mut **spans {
            let texts = texts(FinishedSpan { span, tags });
            if !texts.is_empty() {
                span.tags = tags.set_at(span.tags, texts);
            }
        }
    }

    /// Forgets all spans but those that `keep` says yes to.
    pub(crate) fn retain(&mut self, keep: impl Fn(FinishedSpan<'_>) -> bool) {
        let tags = &self.tags;
        self.spans.retain(|span| keep(FinishedSpan { span, tags }));
        self.spans.rest().iter_mut().for_each(Finished::forget);
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

    /// Whether it is as new. One that was used keeps memory for spans.
    #[inline]
    pub(crate) fn has_no_memory(&self) -> bool {
        self.spans.capacity() == 0
    }

    /// How many bytes it keeps when it is empty.
    pub(crate) fn capacity(&self) -> usize {
        self.spans.capacity() * size_of::<Finished>() + self.tags.capacity()
    }

    /// Forgets the spans but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.spans.iter_mut().for_each(Finished::forget);
        self.spans.clear();
        self.tags.clear();
        self.heap = 0;
    }
}

impl<'a> FinishedSpan<'a> {
    pub(crate) fn name(self) -> &'a str {
        self.tags.text_at(self.span.tags, self.span.name)
    }

    pub(crate) fn resource(self) -> &'a str {
        self.tags.text_at(self.span.tags, self.span.resource)
    }

    /// Empty for none.
    pub(crate) fn span_type(self) -> &'a str {
        self.tags.text_at(self.span.tags, self.span.span_type)
    }

    pub(crate) fn texts(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.tags.texts_at(self.span.tags)
    }

    pub(crate) fn text(self, key: &str) -> Option<&'a str> {
        let found = self.texts().find(|(known, _)| *known == key);
        found.map(|(_, text)| text)
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = (&'a str, f64)> {
        self.tags.numbers_at(self.span.tags)
    }

    pub(crate) fn number(self, key: &str) -> Option<f64> {
        let found = self.numbers().find(|(known, _)| *known == key);
        found.map(|(_, number)| number)
    }

    pub(crate) fn has_tag(self, key: &str) -> bool {
        self.tags.has_at(self.span.tags, key)
    }
}

impl Finished {
    /// Its own name, resource and type: most spans have one of them at most.
    #[inline(never)]
    fn take_texts(&mut self, span: &mut SpanData, tags: &mut Tags, range: Range) {
        self.name = tags.keep(&mut span.name, range);
        self.resource = tags
            .keep_some(&mut span.resource, range)
            .unwrap_or(self.name);
        self.span_type = tags
            .keep_some(&mut span.span_type, range)
            .unwrap_or(Text::Static(""));
    }

    /// What few spans have. Its bytes beside the span itself.
    #[inline(never)]
    fn take_rest(&mut self, span: &mut SpanData) -> usize {
        self.service = span.service.take();
        self.extras = span.extras.take();
        span.inherited = None;
        self.extras.as_ref().map_or(0, |extras| extras.bytes())
    }

    /// Gives up what it owns.
    fn forget(&mut self) {
        if self.service.is_some() {
            self.service = None;
        }
        if self.extras.is_some() {
            self.extras = None;
        }
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
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
    fn texts_that_are_not_static_are_kept_too() {
        let owned = |text: &str| Some(text.to_owned().into());
        let (mut one, mut other) = (Batch::default(), Batch::default());
        one.push(&mut span(1, &[("a", "x")]), Ticks::ZERO);
        let mut data = span(2, &[("b", "y")]);
        data.name = "web.request".into();
        data.span_type = owned("web");
        other.push(&mut data, Ticks::ZERO);
        data.name = "sql.query".to_owned().into();
        data.resource = owned("SELECT 1");
        other.push(&mut data, Ticks::ZERO);
        one.append(&mut other);
        let texts = one
            .spans()
            .map(|span| (span.name(), span.resource(), span.span_type()));
        assert_eq!(
            texts.collect::<Vec<_>>(),
            [
                ("", "", ""),
                ("web.request", "web.request", "web"),
                ("sql.query", "SELECT 1", "")
            ]
        );
        assert_eq!(size_of::<Finished>(), 120);
    }

    #[test]
    fn what_marks_a_span_that_is_kept_alone_counts() {
        let mut batch = Batch::default();
        (1..4).for_each(|id| batch.push(&mut span(id, &[]), Ticks::ZERO));
        let bytes = batch.bytes();
        batch.keep_alone(|span| (span.span.span_id > 1).then_some((1.0, None)));
        batch.keep_alone(|_span| Some((1.0, None)));
        assert_eq!(batch.bytes() - bytes, 3 * size_of::<Extras>());
        batch.clear();
        assert_eq!(batch.bytes(), 0);
    }

    #[test]
    fn spans_keep_their_tags_through_everything() {
        let (mut one, mut other) = (Batch::default(), Batch::default());
        let mut first = span(3, &[("a", "x"), ("b", "yy")]);
        one.push(&mut first, Ticks::ZERO);
        assert!(first.tags.text("a").is_none() && first.tags.capacity() > 0);
        other.push(&mut span(2, &[]), Ticks::ZERO);
        other.push(&mut span(1, &[("c", "zzz")]), Ticks::ZERO);
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
