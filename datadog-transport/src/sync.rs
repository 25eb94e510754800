//! What callers and the worker share things by; with `--cfg datadog_loom`, the same from loom, which tries every
//! order of events.

#[cfg(datadog_loom)]
mod model;

#[cfg(not(datadog_loom))]
pub(crate) use {
    crossbeam::queue::SegQueue,
    parking_lot::Mutex,
    std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    std::thread,
};

#[cfg(not(datadog_loom))]
pub(crate) mod channel {
    pub(crate) use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
}

#[cfg(datadog_loom)]
pub(crate) use {
    loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    model::{Mutex, SegQueue, channel, thread},
};
