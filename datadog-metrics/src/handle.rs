//! Handles: metrics whose name and tags are looked up once.

use std::sync::Arc;
use std::time::Duration;

use datadog_transport::Birthplace;

use crate::cell::Cell;
use crate::context::{Context, Value};
use crate::local;

/// A count. What it comes to between two flushes ends at the bounds of `i64`. Get it from [`Metrics::counter`](crate::Metrics::counter), and keep it: each call costs about 2 ns, on any
/// number of threads.
#[derive(Clone, Debug)]
pub struct Counter(Handle);

/// A gauge. See [`Metrics::gauge_handle`](crate::Metrics::gauge_handle).
#[derive(Clone, Debug)]
pub struct Gauge(Handle);

/// A histogram. See [`Metrics::histogram_handle`](crate::Metrics::histogram_handle).
#[derive(Clone, Debug)]
pub struct Histogram(Handle);

/// A distribution. See [`Metrics::distribution_handle`](crate::Metrics::distribution_handle).
#[derive(Clone, Debug)]
pub struct Distribution(Handle);

/// A timing. See [`Metrics::timing_handle`](crate::Metrics::timing_handle).
#[derive(Clone, Debug)]
pub struct Timing(Handle);

#[derive(Clone, Debug)]
struct Handle {
    context: Arc<Context>,
    index: usize,
    serial: u64,
    birthplace: Birthplace,
}

impl Counter {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Adds `value`.
    #[inline]
    pub fn increment(&self, value: i64) {
        let done = match i32::try_from(value) {
            Ok(small) => self.0.on_cell(|cell| cell.add(small)),
            Err(_) => false,
        };
        if !done {
            self.0.write(Value::Count(value));
        }
    }

    /// Takes `value` off.
    #[inline]
    pub fn decrement(&self, value: i64) {
        self.increment(value.saturating_neg());
    }
}

impl Gauge {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Sets the gauge. What counts is its last value before each flush.
    #[inline]
    pub fn set(&self, value: f64) {
        let context = &self.0.context;
        let done = value.is_finite() && self.0.on_cell(|cell| context.set(cell, value));
        if !done {
            self.0.write_if_finite(Value::Gauge(value), value);
        }
    }

    /// Adds `value` to what the gauge was set or changed to before, from any thread; it starts at 0. A change that would
    /// lead beyond the numbers of `f64` is dropped as [`Invalid`](datadog_transport::DropReason::Invalid).
    #[inline]
    pub fn add(&self, value: f64) {
        let context = &self.0.context;
        let done = value.is_finite() && self.0.on_cell(|cell| context.change(cell, value));
        if !done {
            self.0.write_if_finite(Value::GaugeChange(value), value);
        }
    }
}

impl Histogram {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Adds a value.
    #[inline]
    pub fn record(&self, value: f64) {
        self.0.sample(value);
    }
}

impl Distribution {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Adds a value.
    #[inline]
    pub fn record(&self, value: f64) {
        self.0.sample(value);
    }
}

impl Timing {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Adds a time.
    #[inline]
    pub fn record(&self, time: Duration) {
        self.0.sample(time.as_secs_f64() * 1e3);
    }
}

impl Handle {
    fn new(context: Arc<Context>) -> Self {
        let slot = context.slot();
        let (index, serial) = (slot.index, slot.serial);
        Self {
            birthplace: context.home().birthplace,
            context,
            index,
            serial,
        }
    }

    /// Does `work` on the thread's cell, where it has one. All of a call's usual way has to be inlined into the
    /// caller: what does not stay in registers costs as much as the work.
    #[inline(always)]
    fn on_cell(&self, work: impl FnOnce(&Cell)) -> bool {
        self.birthplace.is_here() && local::on_cell(self.index, self.serial, work)
    }

    #[inline(always)]
    fn sample(&self, value: f64) {
        let context = &self.context;
        let done = value.is_finite() && self.on_cell(|cell| context.sample(cell, value));
        if !done {
            self.write_if_finite(Value::Sample(value), value);
        }
    }

    /// The unusual way: the thread's first value, a thread without cells, a forked child.
    #[cold]
    #[inline(never)]
    fn write(&self, value: Value) {
        if self.birthplace.is_here() {
            local::write(&self.context, value);
        } else {
            self.context.home().drop_forked();
        }
    }

    #[cold]
    #[inline(never)]
    fn write_if_finite(&self, wrapped: Value, value: f64) {
        if value.is_finite() {
            self.write(wrapped);
        } else {
            self.context.write_invalid();
        }
    }
}
