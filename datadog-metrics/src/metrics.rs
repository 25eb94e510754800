//! Where metrics are made.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use datadog_config::DDConfig;
use datadog_transport::{
    Birthplace, SignalKind, Standalone, TransportBuilder, TransportError, context,
};
use hashbrown::DefaultHashBuilder;

use crate::agentless::{self, AgentlessSink};
use crate::context::{Context, Home, Kind, Value};
use crate::event::{Event, ServiceCheck};
use crate::handle::{Counter, Distribution, Gauge, Histogram, Timing};
use crate::rate::Rate;
use crate::sampled::Sampled;
use crate::shared::Shared;
use crate::sink::MetricsSink;
use crate::telemetry::Tally;
use crate::timer::Timer;
use crate::{Tags, encode, local};

/// Makes metrics. Cheap to clone; clones share everything.
///
/// No method blocks, fails or panics. A name or tag that DogStatsD could misread is changed as Datadog itself changes
/// it: a name is cut to its first letter, and what is not a letter, digit, `.` or `_` in it becomes `_`; a tag is cut to
/// its first letter too, and commas, pipes and control characters in it become `_`. Both are at most 200 characters.
///
/// Every metric carries the unified service tags `service`, `env` and `version` and the tags of the config, inside and
/// outside of spans; a call's own tag takes the place of those with the same key.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
    /// Tells contexts of this client and namespace from those of others in each thread's table.
    scope: u64,
    namespace: Arc<str>,
    birthplace: Birthplace,
}

impl Metrics {
    /// Starts metrics with a worker of their own, for a program that uses this crate alone.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn start(config: &DDConfig) -> Result<Standalone<Self>, TransportError> {
        Standalone::start(config, Self::join)
    }

    /// Adds the metrics signal to a client that is being put together. Where metrics are to go to the intake, but there is
    /// neither an API key nor a URL of an intake, they are counted as dropped.
    ///
    /// # Errors
    ///
    /// [`TransportError::TlsMissing`] for an `https` intake without the feature `tls`.
    pub fn join(transport: &mut TransportBuilder) -> Result<Self, TransportError> {
        let config = transport.config().clone();
        let shared = if config.metrics_agentless() {
            let intake = agentless::intake(transport)?;
            transport.add(SignalKind::Metrics, |seat| {
                let shared = Shared::new(&config, seat);
                let sink = AgentlessSink::new(&config, intake, Arc::clone(&shared));
                (sink, shared)
            })
        } else {
            transport.add(SignalKind::Metrics, |seat| {
                let shared = Shared::new(&config, seat);
                (MetricsSink::new(&config, Arc::clone(&shared)), shared)
            })
        };
        Ok(Self {
            scope: shared.new_scope(),
            shared,
            namespace: Arc::from(""),
            birthplace: Birthplace::here(),
        })
    }

    /// The same metrics with `namespace` and a dot before each name.
    pub fn namespaced(&self, namespace: &str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            scope: self.shared.new_scope(),
            namespace: format!("{}{namespace}.", self.namespace).into(),
            birthplace: self.birthplace,
        }
    }
}

/// By chance.
impl Metrics {
    /// Counts, histograms, distributions and timings of which only the part `rate` of the calls, above 0 and below 1, is
    /// taken, by chance. The server is told the rate, and makes up for it. See [`Sampled`].
    ///
    /// A rate of 1 or more, or one that is no number, takes every call, and one of 0 or less takes none.
    pub fn sampled(&self, rate: f64) -> Sampled<&Self> {
        Sampled::new(self, self.shared.usable(Rate::new(rate)))
    }
}

/// By name and tags.
impl Metrics {
    /// Adds `value` to a count. Without a name, it is the count `<span name>.count` of the span that is active on
    /// this thread; where none is, the value is dropped as [`Invalid`](datadog_transport::DropReason::Invalid).
    #[inline]
    pub fn count(&self, name: &str, value: i64, tags: impl Tags) {
        self.count_at_rate(name, value, Rate::ALL, &tags);
    }

    /// Adds 1 to a count.
    #[inline]
    pub fn increment(&self, name: &str, tags: impl Tags) {
        self.count(name, 1, tags);
    }

    /// Takes 1 from a count.
    #[inline]
    pub fn decrement(&self, name: &str, tags: impl Tags) {
        self.count(name, -1, tags);
    }

    /// Sets a gauge. What counts is its last value before each flush.
    #[inline]
    pub fn gauge(&self, name: &str, value: f64, tags: impl Tags) {
        self.submit_finite(Kind::Gauge, Rate::ALL, name, value, &tags, Value::Gauge);
    }

    /// Adds a value to a histogram, which the agent sums up for its own host.
    #[inline]
    pub fn histogram(&self, name: &str, value: f64, tags: impl Tags) {
        self.submit_finite(
            Kind::Histogram,
            Rate::ALL,
            name,
            value,
            &tags,
            Value::Sample,
        );
    }

    /// Adds a value to a distribution, which Datadog sums up over all hosts.
    #[inline]
    pub fn distribution(&self, name: &str, value: f64, tags: impl Tags) {
        self.submit_finite(
            Kind::Distribution,
            Rate::ALL,
            name,
            value,
            &tags,
            Value::Sample,
        );
    }

    /// Adds a time to a timing, which is a histogram of milliseconds.
    #[inline]
    pub fn timing(&self, name: &str, time: Duration, tags: impl Tags) {
        let value = Value::Sample(time.as_secs_f64() * 1e3);
        local::submit(self, Kind::Timing, Rate::ALL, name, &tags, || value);
    }

    /// Adds a member to a set: what counts is the number of different members.
    pub fn set(&self, name: &str, member: impl AsRef<str>, tags: impl Tags) {
        local::find(self, Kind::Set, Rate::ALL, name, &tags).add_member(member.as_ref());
    }

    /// Adds `value` to a count of the past, at most an hour back. It is not summed up with others: Datadog keeps the last
    /// one of each name, tags and second (Agent 7.40 and later).
    pub fn count_at(&self, name: &str, value: i64, at: SystemTime, tags: impl Tags) {
        self.send_at(Kind::Count, name, Some(value.to_string()), at, &tags);
    }

    /// Sets a gauge at a time in the past, at most an hour back (Agent 7.40 and later).
    pub fn gauge_at(&self, name: &str, value: f64, at: SystemTime, tags: impl Tags) {
        let value = value.is_finite().then(|| encode::float(value));
        self.send_at(Kind::Gauge, name, value, at, &tags);
    }

    /// Sends an event.
    pub fn event(&self, event: &Event<'_>, tags: impl Tags) {
        Tally::add(&self.shared.tally.events, 1);
        self.shared
            .send_line(event.line(&self.shared.template.tail(&tags)));
    }

    /// Sends what a check of a service found.
    pub fn service_check(&self, check: &ServiceCheck<'_>, tags: impl Tags) {
        Tally::add(&self.shared.tally.service_checks, 1);
        self.shared
            .send_line(check.line(&self.shared.template.tail(&tags)));
    }

    /// Measures the time until the guard is dropped, in seconds, as a distribution.
    pub fn measure(&self, name: &str, tags: impl Tags) -> Timer {
        Timer::start(self.distribution_handle(name, tags))
    }

    /// Runs `work` and measures its time, in seconds, as a distribution.
    pub fn measure_fn<T>(&self, name: &str, tags: impl Tags, work: impl FnOnce() -> T) -> T {
        let _timer = self.measure(name, tags);
        work()
    }
}

/// By handle: name and tags are looked up once, and each value costs a few nanoseconds.
impl Metrics {
    /// A count to add to.
    pub fn counter(&self, name: &str, tags: impl Tags) -> Counter {
        Counter::new(local::find(self, Kind::Count, Rate::ALL, name, &tags))
    }

    /// A gauge to set.
    pub fn gauge_handle(&self, name: &str, tags: impl Tags) -> Gauge {
        Gauge::new(local::find(self, Kind::Gauge, Rate::ALL, name, &tags))
    }

    /// A histogram to add to.
    pub fn histogram_handle(&self, name: &str, tags: impl Tags) -> Histogram {
        Histogram::new(local::find(self, Kind::Histogram, Rate::ALL, name, &tags))
    }

    /// A distribution to add to.
    pub fn distribution_handle(&self, name: &str, tags: impl Tags) -> Distribution {
        Distribution::new(local::find(
            self,
            Kind::Distribution,
            Rate::ALL,
            name,
            &tags,
        ))
    }

    /// A timing to add to.
    pub fn timing_handle(&self, name: &str, tags: impl Tags) -> Timing {
        Timing::new(local::find(self, Kind::Timing, Rate::ALL, name, &tags))
    }
}

impl Metrics {
    #[inline]
    pub(crate) fn count_at_rate(&self, name: &str, value: i64, rate: Rate, tags: &impl Tags) {
        if name.is_empty() {
            return self.count_of_span(value, rate, tags);
        }
        local::submit(self, Kind::Count, rate, name, tags, || Value::Count(value));
    }

    #[cold]
    fn count_of_span(&self, value: i64, rate: Rate, tags: &impl Tags) {
        let name = context::active_name().map(|span| format!("{span}.count"));
        let name = name.unwrap_or_default();
        local::submit(self, Kind::Count, rate, &name, tags, || Value::Count(value));
    }

    #[inline]
    pub(crate) fn submit_finite(
        &self,
        kind: Kind,
        rate: Rate,
        name: &str,
        value: f64,
        tags: &impl Tags,
        wrap: impl Fn(f64) -> Value,
    ) {
        if value.is_finite() {
            local::submit(self, kind, rate, name, tags, || wrap(value));
        } else {
            self.shared.registry.invalid().write_invalid();
        }
    }

    fn send_at(
        &self,
        kind: Kind,
        name: &str,
        value: Option<String>,
        at: SystemTime,
        tags: &impl Tags,
    ) {
        let head = encode::head(&self.namespace, name);
        let tail = self.shared.template.tail(tags);
        Tally::add(&self.shared.tally.values[kind as usize], 1);
        let line = value
            .filter(|_| head != encode::NO_NAME)
            .map(|value| encode::line_at(&head, &value, kind, &tail, at));
        self.shared.send_line(line);
    }

    pub(crate) fn scope(&self) -> u64 {
        self.scope
    }

    /// Whether this is not a forked child.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.birthplace.is_here()
    }

    pub(crate) fn home(&self) -> &Home {
        self.shared.registry.home()
    }

    #[inline]
    pub(crate) fn hasher(&self) -> &DefaultHashBuilder {
        self.shared.registry.hasher()
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.shared.registry.evictions()
    }

    /// Finds or makes a context, whatever the thread knows.
    pub(crate) fn look_up(
        &self,
        kind: Kind,
        rate: Rate,
        name: &str,
        tags: &impl Tags,
    ) -> Arc<Context> {
        let head = encode::head(&self.namespace, name);
        let tail = self.shared.template.tail(tags);
        self.shared.registry.context(kind, rate, &head, &tail)
    }
}
