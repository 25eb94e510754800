//! What the client says about itself, as the official clients do (datadog-go: `statsd/telemetry.go`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datadog_config::DogStatsDUrl;

use crate::context::Kind;
use crate::encode::Template;

/// The official clients' period.
const PERIOD: Duration = Duration::from_secs(10);

const KINDS: [(Kind, &str); 6] = [
    (Kind::Count, "count"),
    (Kind::Gauge, "gauge"),
    (Kind::Histogram, "histogram"),
    (Kind::Distribution, "distribution"),
    (Kind::Timing, "timing"),
    (Kind::Set, "set"),
];

/// Counts since the start, which callers and the worker add to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Values submitted, by kind.
    pub(crate) values: [AtomicU64; KINDS.len()],
    /// Contexts that had values in a flush, by kind.
    pub(crate) contexts: [AtomicU64; KINDS.len()],
    pub(crate) events: AtomicU64,
    pub(crate) service_checks: AtomicU64,
    pub(crate) packets_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
}

/// Tells the server every 10 seconds what came since.
#[derive(Debug)]
pub(crate) struct Telemetry {
    due: Instant,
    /// The end of the lines about metrics.
    tail: String,
    /// The end of the lines about traces.
    tracer_tail: String,
    /// Counts by name and tag.
    told: HashMap<(&'static str, String), u64>,
}

/// One metric about the client: its count since the start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    name: &'static str,
    /// A tag of its own with a comma behind it, or nothing.
    tag: String,
    count: u64,
}

/// A figure that changed.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) line: String,
    figure: Figure,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Every figure, where `dropped` values were dropped since the start.
    pub(crate) fn figures(&self, dropped: u64) -> Vec<Figure> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sum = |counters: &[AtomicU64]| counters.iter().map(read).sum();
        let of_all = [
            ("datadog.dogstatsd.client.metrics", sum(&self.values)),
            ("datadog.dogstatsd.client.events", read(&self.events)),
            (
                "datadog.dogstatsd.client.service_checks",
                read(&self.service_checks),
            ),
            (
                "datadog.dogstatsd.client.metric_dropped_on_receive",
                dropped,
            ),
            (
                "datadog.dogstatsd.client.packets_sent",
                read(&self.packets_sent),
            ),
            (
                "datadog.dogstatsd.client.bytes_sent",
                read(&self.bytes_sent),
            ),
            (
                "datadog.dogstatsd.client.aggregated_context",
                sum(&self.contexts),
            ),
        ];
        let of_all = of_all
            .into_iter()
            .map(|(name, count)| Figure::new(name, "", count));
        let by_type = [
            ("datadog.dogstatsd.client.metrics_by_type", &self.values),
            (
                "datadog.dogstatsd.client.aggregated_context_by_type",
                &self.contexts,
            ),
        ];
        let of_kinds = KINDS.into_iter().flat_map(|(kind, name)| {
            let tag = format!("metrics_type:{name},");
            by_type.map(|(metric, counters)| {
                Figure::new(metric, tag.as_str(), read(&counters[kind as usize]))
            })
        });
        of_all.chain(of_kinds).collect()
    }
}

impl Figure {
    pub(crate) fn new(name: &'static str, tag: impl Into<String>, count: u64) -> Self {
        Self {
            name,
            tag: tag.into(),
            count,
        }
    }
}

impl Telemetry {
    pub(crate) fn new(template: &Template, url: &DogStatsDUrl) -> Self {
        let transport = match url {
            DogStatsDUrl::Udp { .. } => "udp",
            DogStatsDUrl::UnixStream(_) => "uds-stream",
            _ => "uds",
        };
        let version = env!("CARGO_PKG_VERSION");
        let tail = template.tail(&[
            ("client", "rust"),
            ("client_version", version),
            ("client_transport", transport),
        ]);
        // As dd-trace-go: `ddtrace/tracer/option.go`, `statsTags`.
        let tracer_tail = template.tail(&[("lang", "rust"), ("tracer_version", version)]);
        Self {
            due: Instant::now() + PERIOD,
            tail,
            tracer_tail,
            told: HashMap::new(),
        }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// What happened since it was told last: of the metrics, and of the tracer.
    pub(crate) fn news(&self, metrics: &[Figure], tracer: &[Figure]) -> Vec<News> {
        let metrics = metrics.iter().map(|figure| (figure, &self.tail));
        let tracer = tracer.iter().map(|figure| (figure, &self.tracer_tail));
        metrics
            .chain(tracer)
            .filter_map(|(figure, tail)| {
                let Figure { name, tag, count } = figure;
                let told = self.told.get(&(*name, tag.clone())).copied();
                let new = count.saturating_sub(told.unwrap_or(0));
                // Behind the tail's `|#`.
                let (start, tags) = tail.split_at(2);
                (new > 0).then(|| News {
                    line: format!("{name}:{new}|c{start}{tag}{tags}"),
                    figure: figure.clone(),
                })
            })
            .collect()
    }

    /// News that the server took.
    pub(crate) fn told(&mut self, news: &News) {
        let Figure { name, tag, count } = &news.figure;
        self.told.insert((*name, tag.clone()), *count);
    }

    /// Starts the next period.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.due = now + PERIOD;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datadog_config::DDConfig;

    #[test]
    fn tells_what_is_new_until_it_was_taken() {
        let config = DDConfig::builder()
            .environment([("", "")])
            .service("shop")
            .origin_detection_enabled(false)
            .build()
            .unwrap();
        let url = "udp://127.0.0.1:8125".parse().unwrap();
        let mut telemetry = Telemetry::new(&Template::new(&config), &url);
        assert!(!telemetry.is_due(Instant::now()));
        assert!(telemetry.is_due(Instant::now() + PERIOD));

        let lines = |telemetry: &Telemetry, tally: &Tally| -> String {
            let news = telemetry.news(&tally.figures(2), &[]);
            news.into_iter().map(|news| news.line).collect()
        };
        let tally = Tally::default();
        Tally::add(&tally.values[Kind::Gauge as usize], 3);
        Tally::add(&tally.packets_sent, 1);
        let tags = format!(
            "service:shop,client:rust,client_transport:udp,client_version:{}",
            env!("CARGO_PKG_VERSION")
        );
        let expected = format!(
            "datadog.dogstatsd.client.metrics:3|c|#{tags}\n\
             datadog.dogstatsd.client.metric_dropped_on_receive:2|c|#{tags}\n\
             datadog.dogstatsd.client.packets_sent:1|c|#{tags}\n\
             datadog.dogstatsd.client.metrics_by_type:3|c|#metrics_type:gauge,{tags}\n"
        );
        assert_eq!(lines(&telemetry, &tally), expected);
        assert_eq!(lines(&telemetry, &tally), expected);

        let taken = telemetry.news(&tally.figures(2), &[]);
        taken[1..].iter().for_each(|news| telemetry.told(news));
        Tally::add(&tally.values[Kind::Gauge as usize], 1);
        let expected = format!(
            "datadog.dogstatsd.client.metrics:4|c|#{tags}\n\
             datadog.dogstatsd.client.metrics_by_type:1|c|#metrics_type:gauge,{tags}\n"
        );
        assert_eq!(lines(&telemetry, &tally), expected);

        let flushed = [Figure::new("datadog.tracer.flush_bytes", "", 7)];
        let news = telemetry.news(&[], &flushed);
        let expected = format!(
            "datadog.tracer.flush_bytes:7|c|#service:shop,lang:rust,tracer_version:{}\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(news[0].line, expected);
        telemetry.told(&news[0]);
        assert!(telemetry.news(&[], &flushed).is_empty());
    }
}
