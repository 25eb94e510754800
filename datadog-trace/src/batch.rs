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
        assert_eq!(size_of::<Finished>(), 72);
    }

    #[test]
    fn what_marks_a_span_that_is_kept_alone_counts() {
        let mut batch = Batch::default();
        (1..4).for_each(|id| batch.push(&mut span(id, &[]), Ticks::ZERO));
        let bytes = batch.bytes();
        batch.keep_alone(|span| (span.span.span_id > 1).then_some((1.0, None)));
        batch.keep_alone(|_span| Some((1.0, None)));
        assert_eq!(batch.bytes() - bytes, 3 * size_of::<Extras>());
        let mut single = Batch::default();
        single.push(&mut span(1, &[]), Ticks::ZERO);
        let capacity = single.capacity();
        single.keep_alone(|_span| Some((1.0, None)));
        assert_eq!(single.capacity() - capacity, size_of::<Extras>());
        batch.clear();
        assert_eq!(batch.bytes(), 0);
    }

    #[test]
    fn the_names_of_services_count() {
        let mut batch = Batch::default();
        let service: Arc<str> = "s".repeat(1000).into();
        for id in 1..4 {
            let mut span = span(id, &[]);
            span.service = Some(match id {
                3 => "other".into(),
                _ => Arc::clone(&service),
            });
            batch.push(&mut span, Ticks::ZERO);
        }
        let names = 2 * (ARC_BYTES + size_of::<Arc<str>>()) + 1000 + 5;
        let spans = 3 * size_of::<Finished>() + batch.tags.bytes();
        assert_eq!(batch.bytes(), spans + names);
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

    #[test]
    fn a_span_keeps_its_own_texts_while_others_change() {
        let mut batch = Batch::default();
        for (resource, span_type) in [
            (Some("SELECT 1"), Some("sql")),
            (Some("GET /"), None),
            (None, Some("redis")),
            (None, None),
        ] {
            let mut span = span(1, &[("a", "x")]);
            span.name = "query".into();
            span.resource = resource.map(Into::into);
            span.span_type = span_type.map(Into::into);
            batch.push(&mut span, Ticks::ZERO);
        }
        let shown = |batch: &Batch| -> Vec<String> {
            let spans = batch.spans().map(|span| {
                let tags: Vec<_> = span
                    .texts()
                    .map(|(key, text)| [key, text].join("="))
                    .collect();
                let own = [span.name(), span.resource(), span.span_type()];
                format!(
                    "{} {} {:?}",
                    own.join("|"),
                    tags.join(","),
                    span.number("id")
                )
            });
            spans.collect()
        };
        batch.set_texts(|span| {
            let own = format!("{}!", span.span_type());
            vec![("a", own), ("b", "z".to_owned())]
        });
        assert_eq!(
            shown(&batch),
            [
                "query|SELECT 1|sql a=sql!,b=z Some(1.0)",
                "query|GET /| a=!,b=z Some(1.0)",
                "query|query|redis a=redis!,b=z Some(1.0)",
                "query|query| a=!,b=z Some(1.0)",
            ]
        );
        batch.change_resources(|span_type, resource| Some(format!("{resource} of {span_type}")));
        batch.change_texts(|span_type, key, text| {
            (key == "b").then(|| format!("{text} of {span_type}").into())
        });
        assert_eq!(
            shown(&batch),
            [
                "query|SELECT 1 of sql|sql a=sql!,b=z of sql Some(1.0)",
                "query|GET / of | a=!,b=z of  Some(1.0)",
                "query|query of redis|redis a=redis!,b=z of redis Some(1.0)",
                "query|query of | a=!,b=z of  Some(1.0)",
            ]
        );
    }

    #[test]
    fn services_and_extras_stay_with_their_spans() {
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let of = |id: u64, service: Option<&Arc<str>>, with_struct: bool| {
            let mut span = span(id, &[]);
            span.service = service.cloned();
            if with_struct {
                span.extras().structs.push(("key".into(), vec![id as u8]));
            }
            span
        };
        let (mut first, mut second) = (Batch::default(), Batch::default());
        first.push(&mut of(1, Some(&one), false), Ticks::ZERO);
        first.push(&mut of(2, None, true), Ticks::ZERO);
        second.push(&mut of(3, None, false), Ticks::ZERO);
        second.push(&mut of(4, Some(&other), true), Ticks::ZERO);
        second.push(&mut of(5, Some(&other), false), Ticks::ZERO);
        assert_eq!(second.services.len(), 1, "the same one once");
        let bytes = first.bytes() + second.bytes();
        first.append(&mut second);
        assert_eq!((first.bytes(), second.bytes()), (bytes, 0));
        first.retain(|span| span.span.span_id != 1);
        let seen: Vec<_> = first
            .spans()
            .map(|span| {
                let extras = span.extras().map(|extras| extras.structs[0].1[0]);
                (span.span.span_id, span.service(), extras)
            })
            .collect();
        assert_eq!(
            seen,
            [
                (2, None, Some(2)),
                (3, None, None),
                (4, Some("other"), Some(4)),
                (5, Some("other"), None)
            ]
        );
        first.clear();
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&other)), (1, 1));
    }

    #[test]
    fn what_is_out_of_reach_is_left_out_and_the_rest_stays() {
        const HALF: usize = 33 << 20;
        let huge = || "x".repeat(HALF);
        let mut batch = Batch::default();
        batch.push(&mut span(1, &[("a", "x"), ("b", "y")]), Ticks::ZERO);
        for id in 2..4 {
            let mut other = span(id, &[("c", "z")]);
            other.resource = Some(huge().into());
            batch.push(&mut other, Ticks::ZERO);
        }
        batch.set_texts(|_span| vec![("b", "new".to_owned())]);
        batch.change_texts(|_type, key, _text| (key == "a").then(|| "changed".into()));
        assert_eq!(
            shown(&batch),
            ["1 a=,b= [1.0]", "2 c=z,b= [2.0]", "3 c=z,b=new [3.0]"]
        );
        assert!(
            batch
                .spans()
                .skip(1)
                .all(|span| span.resource().len() == HALF)
        );
        // Of its own texts, a span keeps what is within its bound.
        let further = ["more", "most"].map(|key| (key, huge().into()));
        let mut last = span(4, &[("a", "x")]);
        batch.clear();
        batch.push_with(&mut last, Ticks::ZERO, further.into_iter());
        assert_eq!(shown(&batch), ["4 a=x [4.0]"]);
    }
}
