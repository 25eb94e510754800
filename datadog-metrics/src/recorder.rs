//! A recorder for the `metrics` crate.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SetRecorderError, SharedString, Unit,
};
use datadog_transport::DropReason;
use hashbrown::{HashMap, HashTable};
use parking_lot::Mutex;

use crate::{Distribution, Metrics, Tags};

/// The most counters with absolute values.
const MOST_ABSOLUTE: usize = 20_000;

/// The most handles of one kind that a thread keeps. A thread that uses more forgets them all and starts again.
const MOST_KEPT: usize = 16_384;

/// Takes what libraries report through the `metrics` crate: get it from [`Metrics::recorder`].
///
/// - Labels become tags.
/// - A counter is a count. Of its [`absolute`](::metrics::Counter::absolute) values, what is sent is by how much each is above the
///   highest one before it, whatever threads they come from. The first one is only where it starts, because it may count since
///   long before this process did; metrics-exporter-dogstatsd does the same.
/// - A gauge is a gauge.
/// - A histogram is a distribution, which has exact counts and percentiles over all hosts; the agent's histograms have those
///   of one host, and those of several can't be summed up. It is the default of metrics-exporter-dogstatsd as well.
/// - Units and descriptions are ignored: DogStatsD has no field for them. They are set in Datadog.
///
/// A macro of the `metrics` crate asks for its handle anew each time; each thread keeps those it used. A handle that the
/// program keeps is cheaper still.
///
/// It may outlive the client, and then counts what it gets as dropped.
#[derive(Clone)]
pub struct MetricsRecorder {
    metrics: Metrics,
    absolutes: Arc<Absolutes>,
}

/// The highest values so far.
#[derive(Default)]
struct Absolutes(Mutex<HashMap<Key, u64>>);

impl Metrics {
    /// A recorder for the `metrics` crate.
    ///
    /// ```
    /// # use datadog_metrics::{DDConfig, Metrics};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let agent = datadog_local_agent::LocalAgent::start()?;
    /// # let config = DDConfig::builder().environment([("", "")]).dogstatsd_url(agent.dogstatsd_url()).build()?;
    /// let client = Metrics::start(&config)?;
    /// client.recorder().install()?;
    ///
    /// metrics::counter!("page.views", "route" => "/cart").increment(1);
    /// # assert_eq!(client.flush(std::time::Duration::from_secs(1)).delivered, 1);
    /// # Ok(()) }
    /// ```
    pub fn recorder(&self) -> MetricsRecorder {
        MetricsRecorder {
            metrics: self.clone(),
            absolutes: Arc::default(),
        }
    }
}

impl MetricsRecorder {
    /// Makes it the recorder of the process. For a part of the program only, see
    /// [`with_local_recorder`](::metrics::with_local_recorder).
    ///
    /// # Errors
    ///
    /// The process has a recorder already, which stays. The error contains this one.
    pub fn install(self) -> Result<(), SetRecorderError<Self>> {
        ::metrics::set_global_recorder(self)
    }
}

impl Recorder for MetricsRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let make = || {
            Counter::from_arc(Arc::new(Count {
                counter: self.metrics.counter(key.name(), Labels(key)),
                key: key.to_retained(),
                metrics: self.metrics.clone(),
                absolutes: Arc::clone(&self.absolutes),
            }))
        };
        self.kept(|kept| &mut kept.counters, key, make)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let make = || {
            let gauge = self.metrics.gauge_handle(key.name(), Labels(key));
            Gauge::from_arc(Arc::new(gauge))
        };
        self.kept(|kept| &mut kept.gauges, key, make)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let make = || {
            let distribution = self.metrics.distribution_handle(key.name(), Labels(key));
            Histogram::from_arc(Arc::new(distribution))
        };
        self.kept(|kept| &mut kept.histograms, key, make)
    }
}

struct Count {
    counter: crate::Counter,
    key: Key,
    metrics: Metrics,
    absolutes: Arc<Absolutes>,
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.counter
            .increment(i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn absolute(&self, value: u64) {
        if !self.metrics.is_here() {
            return self.metrics.home().drop_forked();
        }
        match self.absolutes.raise(&self.key, value) {
            Some(growth) => self.increment(growth),
            None => {
                let account = &self.metrics.home().account;
                account.accept(1);
                account.drop_items(DropReason::Cardinality, 1);
            }
        }
    }
}

impl Absolutes {
    /// By how much a counter grew; `None` where there are too many.
    fn raise(&self, key: &Key, value: u64) -> Option<u64> {
        let mut highest = self.0.lock();
        if let Some(highest) = highest.get_mut(key) {
            let growth = value.saturating_sub(*highest);
            *highest = value.max(*highest);
            return Some(growth);
        }
        if highest.len() >= MOST_ABSOLUTE {
            return None;
        }
        highest.insert(key.clone(), value);
        Some(0)
    }
}

impl GaugeFn for crate::Gauge {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.set(value);
    }
}

impl HistogramFn for Distribution {
    fn record(&self, value: f64) {
        self.record(value);
    }
}

/// The labels of a key as tags.
struct Labels<'a>(&'a Key);

impl Tags for Labels<'_> {
    fn tags(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let labels = self.0.labels();
        labels.map(|label| (label.key(), Some(label.value())))
    }
}

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept::new()) };
}

/// The handles that a thread used. They are its own, so that threads don't count references in the same place.
struct Kept {
    /// [`Metrics::scope`] of whose they are.
    scope: u64,
    /// [`Metrics::evictions`] when they were made.
    evictions: u64,
    counters: HashTable<(Key, Counter)>,
    gauges: HashTable<(Key, Gauge)>,
    histograms: HashTable<(Key, Histogram)>,
}

impl MetricsRecorder {
    /// The thread's handle for a key.
    fn kept<H: Clone>(
        &self,
        table: impl Fn(&mut Kept) -> &mut HashTable<(Key, H)>,
        key: &Key,
        make: impl Fn() -> H,
    ) -> H {
        let kept = KEPT.try_with(|kept| {
            // Taken already where an allocator reports metrics itself.
            let mut kept = kept.try_borrow_mut().ok()?;
            kept.forget_others(&self.metrics);
            let table = table(&mut kept);
            let hash = key.get_hash();
            if let Some((_, handle)) = table.find(hash, |(known, _)| is_same(known, key)) {
                return Some(handle.clone());
            }
            if table.len() >= MOST_KEPT {
                table.clear();
            }
            let handle = make();
            let entry = (key.to_retained(), handle.clone());
            table.insert_unique(hash, entry, |(key, _)| key.get_hash());
            Some(handle)
        });
        kept.ok().flatten().unwrap_or_else(make)
    }
}

impl Kept {
    const fn new() -> Self {
        Self {
            scope: 0,
            evictions: 0,
            counters: HashTable::new(),
            gauges: HashTable::new(),
            histograms: HashTable::new(),
        }
    }

    /// Forgets the handles of other clients, and after an eviction all of them: those of the evicted contexts would keep
    /// them in memory.
    #[inline]
    fn forget_others(&mut self, metrics: &Metrics) {
        let (scope, evictions) = (metrics.scope(), metrics.evictions());
        if (self.scope, self.evictions) != (scope, evictions) {
            *self = Self {
                scope,
                evictions,
                ..Self::new()
            };
        }
    }
}

/// Whether two keys are equal. Those of the macros are where they are for ever, and then their texts need no look.
#[inline]
fn is_same(known: &Key, key: &Key) -> bool {
    let same_place = std::ptr::eq(known.name(), key.name())
        && std::ptr::eq(known.labels().as_slice(), key.labels().as_slice());
    same_place || known == key
}

impl fmt::Debug for MetricsRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsRecorder")
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}
