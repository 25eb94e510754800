//! Memory of batches on its way back from the worker to the threads that make spans.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use datadog_transport::Birthplace;

use crate::batch::Batch;

/// The most batches that wait to be used again.
const MOST: usize = 1_024;

/// The most bytes of them.
const MOST_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Pool {
    /// In a forked child, another thread may have stood within the queue for ever.
    birthplace: Birthplace,
    batches: ArrayQueue<Batch>,
    bytes: AtomicUsize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            birthplace: Birthplace::here(),
            batches: ArrayQueue::new(MOST),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Takes back a batch that was encoded.
    pub(crate) fn put(&self, mut batch: Batch) {
        let bytes = batch.capacity();
        let fits = self.bytes.load(Ordering::Relaxed) + bytes <= MOST_BYTES;
        if !fits || !self.birthplace.is_here() {
            return;
        }
        batch.clear();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.batches.push(batch).is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// An empty batch.
    pub(crate) fn take(&self) -> Batch {
        let batch = self.birthplace.is_here().then(|| self.batches.pop());
        let Some(batch) = batch.flatten() else {
            return Batch::default();
        };
        self.bytes.fetch_sub(batch.capacity(), Ordering::Relaxed);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span_data::SpanData;
    use crate::ticks::Ticks;

    fn batch(text: usize) -> Batch {
        let mut span = SpanData::default();
        span.tags.set_text("a".into(), &"x".repeat(text));
        let mut batch = Batch::default();
        batch.push(&mut span, Ticks::ZERO);
        batch
    }

    #[test]
    fn what_comes_back_is_empty_and_bounded() {
        let pool = Pool::new();
        assert_eq!(pool.take().capacity(), 0);
        pool.put(batch(10));
        let again = pool.take();
        assert!(again.is_empty() && again.capacity() > 0);
        pool.put(batch(MOST_BYTES - 10_000));
        pool.put(batch(20_000));
        assert!(pool.take().capacity() > MOST_BYTES - 10_000);
        assert_eq!(
            pool.take().capacity(),
            0,
            "there was no room for the second"
        );
        for _ in 0..=MOST {
            pool.put(batch(0));
        }
        assert!(pool.batches.is_full());
        (0..MOST).for_each(|_| drop(pool.take()));
        assert_eq!(pool.bytes.load(Ordering::Relaxed), 0);
    }
}
