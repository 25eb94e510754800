//! Handles: metrics whose name and tags are looked up once.

use std::sync::Arc;
use std::time::Duration;

use datadog_transport::Birthplace;

use crate::context::{Context, Value};
use crate::local;

/// A count. Get it from [`Metrics::counter`](crate::Metrics::counter), and keep it: each call costs about 2 ns, on any
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
        self.0.write(Value::Count(value));
    }

    /// Takes `value` off.
    #[inline]
    pub fn decrement(&self, value: i64) {
        self.0.write(Value::Count(value.wrapping_neg()));
    }
}

impl Gauge {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Sets the gauge. What counts is its last value before each flush.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.write_finite(value, Value::Gauge);
    }

    /// Adds `value` to what the gauge was set or changed to before, from any thread; it starts at 0.
    pub fn add(&self, value: f64) {
        self.0.write_finite(value, Value::GaugeChange);
    }
}

impl Histogram {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Adds a value.
    #[inline]
    pub fn record(&self, value: f64) {
        self.0.write_finite(value, Value::Sample);
    }
}

impl Distribution {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Adds a value.
    #[inline]
    pub fn record(&self, value: f64) {
        self.0.write_finite(value, Value::Sample);
    }
}

impl Timing {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self(Handle::new(context))
    }

    /// Adds a time.
    #[inline]
    pub fn record(&self, time: Duration) {
        self.0.write(Value::Sample(time.as_secs_f64() * 1e3));
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

    // Small once the value's kind is known, which it is where this is called from.
    #[inline(always)]
    fn write(&self, value: Value) {
        if self.birthplace.is_here() {
            local::write(&self.context, self.index, self.serial, value);
        } else {
            self.context.home().drop_forked();
        }
    }

    #[inline(always)]
    fn write_finite(&self, value: f64, wrap: impl FnOnce(f64) -> Value) {
        if value.is_finite() {
            self.write(wrap(value));
        } else {
            self.context.write_invalid();
        }
    }
}
