//! Memory of spans on its way back from the worker to the threads that make spans.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::span_data::Spans;

/// The most spans that wait to be used again. More than the queue to the worker holds would be of no use.
const MOST_SPANS: usize = 16_384;

/// The most lists of them: one a chunk.
const MOST_LISTS: usize = 4_096;

/// A span that grew beyond this many bytes is given back to the system instead.
const LARGEST_SPAN: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Pool {
    lists: ArrayQueue<Spans>,
    spans: AtomicUsize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            lists: ArrayQueue::new(MOST_LISTS),
            spans: AtomicUsize::new(0),
        }
    }

    /// Takes back the spans of a chunk that was encoded.
    pub(crate) fn put(&self, mut spans: Spans) {
        spans.retain(|span| span.bytes() <= LARGEST_SPAN);
        let count = spans.len();
        if self.spans.load(Ordering::Relaxed) + count > MOST_SPANS {
            return;
        }
        for span in &mut spans {
            span.clear();
        }
        self.spans.fetch_add(count, Ordering::Relaxed);
        if self.lists.push(spans).is_err() {
            self.spans.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Spans to be used again, ready to be filled.
    pub(crate) fn take(&self) -> Option<Spans> {
        let spans = self.lists.pop()?;
        self.spans.fetch_sub(spans.len(), Ordering::Relaxed);
        Some(spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span_data::SpanData;

    fn spans(count: usize) -> Spans {
        (0..count).map(|_| Box::new(SpanData::new())).collect()
    }

    #[test]
    fn what_comes_back_is_clear_and_bounded() {
        let pool = Pool::new();
        assert!(pool.take().is_none());
        let mut used = spans(2);
        used[0].tags.set_text("a".into(), "x");
        used[1].tags.set_text("a".into(), &"x".repeat(LARGEST_SPAN));
        pool.put(used);
        let again = pool.take().unwrap();
        assert_eq!(again.len(), 1, "the large one is gone");
        assert!(!again[0].tags.contains("a"));
        pool.put(spans(MOST_SPANS));
        pool.put(spans(1));
        assert_eq!(pool.take().unwrap().len(), MOST_SPANS);
        assert!(pool.take().is_none());
        for _ in 0..=MOST_LISTS {
            pool.put(Spans::new());
        }
        assert_eq!(pool.lists.len(), MOST_LISTS);
        assert_eq!(pool.spans.load(Ordering::Relaxed), 0);
    }
}
