//! What the queue is built from; with `--cfg datadog_loom`, the same from loom, which tries every order of events.

#[cfg(not(datadog_loom))]
pub(crate) use {
    crossbeam::queue::SegQueue,
    std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

#[cfg(datadog_loom)]
pub(crate) use {
    loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    model::SegQueue,
};

#[cfg(datadog_loom)]
mod model {
    use std::collections::VecDeque;

    use super::{AtomicUsize, Ordering};

    /// As little as is known of crossbeam's queue: what was popped was pushed before. Not even that a pop finds
    /// what another thread pushed: the length, which is read without order, may say that there is nothing.
    #[derive(Debug)]
    pub(crate) struct SegQueue<T> {
        length: AtomicUsize,
        entries: std::sync::Mutex<VecDeque<T>>,
    }

    impl<T> SegQueue<T> {
        pub(crate) fn new() -> Self {
            Self {
                length: AtomicUsize::new(0),
                entries: std::sync::Mutex::default(),
            }
        }

        pub(crate) fn push(&self, value: T) {
            if let Ok(mut entries) = self.entries.lock() {
                entries.push_back(value);
            }
            self.length.fetch_add(1, Ordering::Release);
        }

        pub(crate) fn pop(&self) -> Option<T> {
            if self.length.load(Ordering::Relaxed) == 0 {
                return None;
            }
            let value = self.entries.lock().ok()?.pop_front();
            if value.is_some() {
                self.length.fetch_sub(1, Ordering::Acquire);
            }
            value
        }
    }
}
