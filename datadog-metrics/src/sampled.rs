//! Calls of which a part is taken by chance.

use std::sync::Arc;
use std::time::Duration;

use crate::context::{Context, Kind, Value};
use crate::handle::{Counter, Distribution, Histogram, Timing};
use crate::rate::Rate;
use crate::{Metrics, Tags, local};

/// Takes the values of a part of the calls, chosen by chance, and tells the server the rate (`|@0.1`), so that it
/// multiplies counts by 1 / rate, and reckons with as many values more of the other kinds. From [`Metrics::sampled`]:
///
/// ```
/// # use datadog_config::DDConfig;
/// # use datadog_metrics::Metrics;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let agent = datadog_local_agent::LocalAgent::start()?;
/// # let config = DDConfig::builder().environment([("", "")]).dogstatsd_url(agent.dogstatsd_url()).build()?;
/// # let metrics = Metrics::start(&config)?;
/// let tenth = metrics.sampled(0.1);
/// tenth.distribution("row.bytes", 512.0, [("table", "users")]);
///
/// let rows = tenth.counter("rows", [("table", "users")]); // a handle of its own
/// rows.increment(1);
/// # assert!(metrics.health().total().accepted <= 2);
/// # Ok(()) }
/// ```
///
/// A call costs about 3 ns for the choice, so a rate saves something only where values are dear to make, or many: counts are
/// summed up in the process, and of more than 1,024 samples of one context between two flushes an even choice of 1,024
/// is sent with its rate, both without any of this. A value that is not chosen is in no account.
#[derive(Clone, Debug)]
pub struct Sampled<T> {
    of: T,
    rate: Rate,
}

impl<T> Sampled<T> {
    /// Does `work` with what the values go to, if chance wants it.
    #[inline]
    fn by_chance(&self, work: impl FnOnce(&T)) {
        if self.rate.takes() {
            work(&self.of);
        }
    }
}

/// By name and tags, and handles.
impl<'a> Sampled<&'a Metrics> {
    pub(crate) fn new(metrics: &'a Metrics, rate: Rate) -> Self {
        Self { of: metrics, rate }
    }

    /// As [`Metrics::count`].
    #[inline]
    pub fn count(&self, name: &str, value: i64, tags: impl Tags) {
        self.by_chance(|metrics| metrics.count_at_rate(name, value, self.rate, &tags));
    }

    /// As [`Metrics::increment`].
    #[inline]
    pub fn increment(&self, name: &str, tags: impl Tags) {
        self.count(name, 1, tags);
    }

    /// As [`Metrics::decrement`].
    #[inline]
    pub fn decrement(&self, name: &str, tags: impl Tags) {
        self.count(name, -1, tags);
    }

    /// As [`Metrics::histogram`].
    #[inline]
    pub fn histogram(&self, name: &str, value: f64, tags: impl Tags) {
        self.sample(Kind::Histogram, name, value, &tags);
    }

    /// As [`Metrics::distribution`].
    #[inline]
    pub fn distribution(&self, name: &str, value: f64, tags: impl Tags) {
        self.sample(Kind::Distribution, name, value, &tags);
    }

    /// As [`Metrics::timing`].
    #[inline]
    pub fn timing(&self, name: &str, time: Duration, tags: impl Tags) {
        self.sample(Kind::Timing, name, time.as_secs_f64() * 1e3, &tags);
    }

    /// As [`Metrics::counter`].
    pub fn counter(&self, name: &str, tags: impl Tags) -> Sampled<Counter> {
        self.handle(Counter::new(self.find(Kind::Count, name, &tags)))
    }

    /// As [`Metrics::histogram_handle`].
    pub fn histogram_handle(&self, name: &str, tags: impl Tags) -> Sampled<Histogram> {
        self.handle(Histogram::new(self.find(Kind::Histogram, name, &tags)))
    }

    /// As [`Metrics::distribution_handle`].
    pub fn distribution_handle(&self, name: &str, tags: impl Tags) -> Sampled<Distribution> {
        self.handle(Distribution::new(self.find(
            Kind::Distribution,
            name,
            &tags,
        )))
    }

    /// As [`Metrics::timing_handle`].
    pub fn timing_handle(&self, name: &str, tags: impl Tags) -> Sampled<Timing> {
        self.handle(Timing::new(self.find(Kind::Timing, name, &tags)))
    }

    #[inline]
    fn sample(&self, kind: Kind, name: &str, value: f64, tags: &impl Tags) {
        self.by_chance(|metrics| {
            metrics.submit_finite(kind, self.rate, name, value, tags, Value::Sample);
        });
    }

    fn find(&self, kind: Kind, name: &str, tags: &impl Tags) -> Arc<Context> {
        local::find(self.of, kind, self.rate, name, tags)
    }

    fn handle<H>(&self, handle: H) -> Sampled<H> {
        Sampled {
            of: handle,
            rate: self.rate,
        }
    }
}

impl Sampled<Counter> {
    /// As [`Counter::increment`].
    #[inline]
    pub fn increment(&self, value: i64) {
        self.by_chance(|counter| counter.increment(value));
    }

    /// As [`Counter::decrement`].
    #[inline]
    pub fn decrement(&self, value: i64) {
        self.by_chance(|counter| counter.decrement(value));
    }
}

impl Sampled<Histogram> {
    /// As [`Histogram::record`].
    #[inline]
    pub fn record(&self, value: f64) {
        self.by_chance(|histogram| histogram.record(value));
    }
}

impl Sampled<Distribution> {
    /// As [`Distribution::record`].
    #[inline]
    pub fn record(&self, value: f64) {
        self.by_chance(|distribution| distribution.record(value));
    }
}

impl Sampled<Timing> {
    /// As [`Timing::record`].
    #[inline]
    pub fn record(&self, time: Duration) {
        self.by_chance(|timing| timing.record(time));
    }
}
