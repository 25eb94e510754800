//! Finished spans, one behind the other in memory that is only written to until the worker reads it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::TagValue;
use crate::prefetch;
use crate::reused::{Blank, Reused};
use crate::span_data::{Extras, SpanData};
use crate::tags::{Range, Tags, Text};
use crate::ticks::Ticks;

/// What an `Arc` occupies beside what it points to: two counts.
const ARC_BYTES: usize = 2 * size_of::<usize>();

/// Finished spans of one trace. What they have beside numbers and marks stands in common lists.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    spans: Reused<Finished>,
    tags: Tags,
    services: Vec<Arc<str>>,
    extras: Vec<Extras>,
    /// What the extras and the names of the services occupy.
    heap: usize,
}

/// A finished span, without what stands in the lists of its batch. Many of them may wait for the worker, hence every byte
/// counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    // Not beside its end: the two would be copied at once, and wait for the end to be written.
    pub(crate) start: Ticks,
    pub(crate) span_id: u64,
    pub(crate) parent_id: u64,
    pub(crate) end: Ticks,
    name: Text,
    tags: Range,
    /// Its place among the services, counted from 1; 0 for none.
    service: u32,
    /// Its place among the extras, counted from 1; 0 for none.
    extras: u32,
    pub(crate) is_local_root: bool,
    pub(crate) top_level: bool,
    pub(crate) error: bool,
}

/// A finished span with what stands in the lists of its batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedSpan<'a> {
    pub(crate) span: &'a Finished,
    batch: &'a Batch,
}

impl Blank for Finished {
    const BLANK: Self = Self {
        span_id: 0,
        parent_id: 0,
        start: Ticks::ZERO,
        end: Ticks::ZERO,
        name: Text::Static(""),
        tags: Range::NONE,
        service: 0,
        extras: 0,
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
        finished.tags = tags;
        match (&span.name, &span.resource, &span.span_type) {
            (Cow::Borrowed(name), None, None) => finished.name = Text::Static(name),
            _ => finished.take_texts(span, &mut self.tags),
        }
        finished.service = 0;
        finished.extras = 0;
        finished.is_local_root = span.is_local_root;
        finished.top_level = span.top_level;
        finished.error = span.error;
        if span.service.is_some() | span.inherited.is_some() | span.extras.is_some() {
            self.take_rest(span);
        }
        // The memory comes back from the worker's processor: it is fetched while the program goes on, for the next span.
        prefetch::behind(&self.spans, size_of::<Finished>());
        self.tags.prefetch_more();
    }

    /// Takes what few spans have, for the last one here.
    #[inline(never)]
    fn take_rest(&mut self, span: &mut SpanData) {
        span.inherited = None;
        let Some(finished) = self.spans.last_mut() else {
            return;
        };
        if let Some(service) = span.service.take() {
            let is_last = |last| Arc::ptr_eq(last, &service);
            if !self.services.last().is_some_and(is_last) {
                // Mostly a span that says its service has it to itself.
                self.heap += ARC_BYTES + service.len();
                self.services.push(service);
            }
            finished.service = self.services.len() as u32;
        }
        if let Some(extras) = span.extras.take() {
            self.heap += extras.bytes();
            finished.extras = add_extras(&mut self.extras, *extras);
        }
    }

    /// Takes all spans of another batch.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let (services, extras) = (self.services.len() as u32, self.extras.len() as u32);
        let tags = self.tags.append_all(&mut other.tags);
        let behind = |place: u32, others: u32| if place == 0 { 0 } else { place + others };
        for span in &*other.spans {
            *self.spans.next() = Finished {
                tags: span.tags.behind(tags),
                service: behind(span.service, services),
                extras: behind(span.extras, extras),
                ..*span
            };
        }
        other.spans.clear();
        self.services.append(&mut other.services);
        self.extras.append(&mut other.extras);
        self.heap += std::mem::take(&mut other.heap);
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn spans(&self) -> impl ExactSizeIterator<Item = FinishedSpan<'_>> {
        let spans = self.spans.iter();
        spans.map(|span| FinishedSpan { span, batch: self })
    }

    fn span(&self, at: usize) -> FinishedSpan<'_> {
        FinishedSpan {
            span: &self.spans[at],
            batch: self,
        }
    }

    /// Fetches the memory of the spans, which another thread wrote.
    pub(crate) fn prefetch(&self) {
        prefetch::all(&self.spans);
        self.tags.prefetch();
    }

    /// What few spans have, to be changed.
    pub(crate) fn extras_mut(&mut self) -> impl Iterator<Item = &mut Extras> {
        self.extras.iter_mut()
    }

    /// Marks the spans that are kept although their trace is not, by the rate and the limit that `kept` gives.
    pub(crate) fn keep_alone(
        &mut self,
        kept: impl Fn(FinishedSpan<'_>) -> Option<(f64, Option<f64>)>,
    ) {
        for at in 0..self.spans.len() {
            let Some(by) = kept(self.span(at)) else {
                continue;
            };
            let span = &mut self.spans[at];
            if span.extras == 0 {
                self.heap += size_of::<Extras>();
                span.extras = add_extras(&mut self.extras, Extras::default());
            }
            self.extras[span.extras as usize - 1].kept_alone = Some(by);
        }
    }

    /// Replaces the text tags that `change` has something else for, by the type of their span, their key and what they are.
    pub(crate) fn change_texts(
        &mut self,
        change: impl Fn(&str, &str, &str) -> Option<Cow<'static, str>>,
    ) {
        for span in &*self.spans {
            self.tags.change_at(span.tags, |tags, key, text| {
                change(tags.type_at(span.tags), key, text)
            });
        }
    }

    /// Replaces the resources that `change` has something else for, by the type of their span and what they are.
    pub(crate) fn change_resources(&mut self, change: impl Fn(&str, &str) -> Option<String>) {
        for span in &mut *self.spans {
            let resource = self.tags.resource_at(span.tags, span.name);
            if let Some(changed) = change(self.tags.type_at(span.tags), resource) {
                span.tags = self.tags.set_resource_at(span.tags, &changed);
            }
        }
    }

    /// Sets text tags, in place of earlier ones of the same keys.
    pub(crate) fn set_texts(
        &mut self,
        texts: impl Fn(FinishedSpan<'_>) -> Vec<(&'static str, String)>,
    ) {
        for at in 0..self.spans.len() {
            let texts = texts(self.span(at));
            if !texts.is_empty() {
                let span = &mut self.spans[at];
                span.tags = self.tags.set_at(span.tags, texts);
            }
        }
    }

    /// Forgets all spans but those that `keep` says yes to.
    pub(crate) fn retain(&mut self, keep: impl Fn(FinishedSpan<'_>) -> bool) {
        let mut kept = 0;
        for at in 0..self.spans.len() {
            if keep(self.span(at)) {
                self.spans.swap(kept, at);
                kept += 1;
            }
        }
        self.spans.truncate(kept);
    }

    /// Moves the first span of the trace in this process to the front, if it is here.
    pub(crate) fn root_first(&mut self) {
        if let Some(root) = self.spans.iter().position(|span| span.is_local_root) {
            self.spans.swap(0, root);
        }
    }

    /// How many bytes the spans occupy.
    pub(crate) fn bytes(&self) -> usize {
        self.spans.len() * size_of::<Finished>()
            + self.tags.bytes()
            + self.services.len() * size_of::<Arc<str>>()
            + self.heap
    }

    /// Whether it is as new. One that was used keeps memory for spans.
    #[inline]
    pub(crate) fn has_no_memory(&self) -> bool {
        self.spans.capacity() == 0
    }

    /// How many bytes it keeps when it is empty.
    pub(crate) fn capacity(&self) -> usize {
        self.spans.capacity() * size_of::<Finished>()
            + self.tags.capacity()
            + self.services.capacity() * size_of::<Arc<str>>()
            + self.extras.capacity() * size_of::<Extras>()
    }

    /// Forgets the spans but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.tags.clear();
        self.services.clear();
        self.extras.clear();
        self.heap = 0;
    }
}

impl<'a> FinishedSpan<'a> {
    pub(crate) fn name(self) -> &'a str {
        self.batch.tags.text_at(self.span.tags, self.span.name)
    }

    pub(crate) fn resource(self) -> &'a str {
        let Finished { name, tags, .. } = *self.span;
        self.batch.tags.resource_at(tags, name)
    }

    /// Empty for none.
    pub(crate) fn span_type(self) -> &'a str {
        self.batch.tags.type_at(self.span.tags)
    }

    /// `None` stands for the configured one.
    pub(crate) fn service(self) -> Option<&'a str> {
        let place = (self.span.service as usize).checked_sub(1)?;
        self.batch.services.get(place).map(|service| &**service)
    }

    pub(crate) fn extras(self) -> Option<&'a Extras> {
        let place = (self.span.extras as usize).checked_sub(1)?;
        self.batch.extras.get(place)
    }

    pub(crate) fn texts(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.batch.tags.texts_at(self.span.tags)
    }

    pub(crate) fn text(self, key: &str) -> Option<&'a str> {
        let found = self.texts().find(|(known, _)| *known == key);
        found.map(|(_, text)| text)
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = (&'a str, f64)> {
        self.batch.tags.numbers_at(self.span.tags)
    }

    pub(crate) fn number(self, key: &str) -> Option<f64> {
        let found = self.numbers().find(|(known, _)| *known == key);
        found.map(|(_, number)| number)
    }

    pub(crate) fn has_tag(self, key: &str) -> bool {
        self.batch.tags.has_at(self.span.tags, key)
    }
}

impl Finished {
    /// Its own name, resource and type: most spans have one of them at most.
    #[inline(never)]
    fn take_texts(&mut self, span: &mut SpanData, tags: &mut Tags) {
        self.name = tags.keep(&mut span.name, self.tags);
        if let Some(mut resource) = span.resource.take() {
            self.tags = tags.add_resource_at(self.tags, &mut resource);
        }
        if let Some(mut span_type) = span.span_type.take() {
            self.tags = tags.add_type_at(self.tags, &mut span_type);
        }
    }
}

/// Adds what a span has. Its place, counted from 1.
fn add_extras(all: &mut Vec<Extras>, extras: Extras) -> u32 {
    // They are large, and mostly those of one span: a list would begin with room for four.
    if all.capacity() == 0 {
        all.reserve_exact(1);
    }
    all.push(extras);
    all.len() as u32
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
