//! What the client says about itself, as the official clients do (datadog-go: `statsd/telemetry.go`).

use std::fmt::Write;
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

/// How many metrics there are: 7 of all values, and 2 of each kind.
const METRICS: usize = 7 + 2 * KINDS.len();

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
    /// The end of its lines.
    tail: String,
    /// By the order of [`Tally::metrics`].
    told: [u64; METRICS],
}

/// One metric about the client.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) line: String,
    at: usize,
    count: u64,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Every metric: its name behind `datadog.dogstatsd.client.`, the kind it is about, and its count.
    fn metrics(&self, dropped: u64) -> [(&'static str, &'static str, u64); METRICS] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sum = |counters: &[AtomicU64]| counters.iter().map(read).sum();
        let of_all = [
            ("metrics", "", sum(&self.values)),
            ("events", "", read(&self.events)),
            ("service_checks", "", read(&self.service_checks)),
            ("metric_dropped_on_receive", "", dropped),
            ("packets_sent", "", read(&self.packets_sent)),
            ("bytes_sent", "", read(&self.bytes_sent)),
            ("aggregated_context", "", sum(&self.contexts)),
        ];
        std::array::from_fn(|at| match at.checked_sub(of_all.len()) {
            None => of_all[at],
            Some(at) => {
                let (kind, name) = KINDS[at / 2];
                let (metric, counters) = match at % 2 {
                    0 => ("metrics_by_type", &self.values),
                    _ => ("aggregated_context_by_type", &self.contexts),
                };
                (metric, name, read(&counters[kind as usize]))
            }
        })
    }
}

impl Telemetry {
    pub(crate) fn new(template: &Template, url: &DogStatsDUrl) -> Self {
        let transport = match url {
            DogStatsDUrl::Udp { .. } => "udp",
            DogStatsDUrl::UnixStream(_) => "uds-stream",
            _ => "uds",
        };
        let tail = template.tail(&[
            ("client", "rust"),
            ("client_version", env!("CARGO_PKG_VERSION")),
            ("client_transport", transport),
        ]);
        Self {
            due: Instant::now() + PERIOD,
            tail,
            told: [0; METRICS],
        }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// What happened since it was told last. `dropped` is the number of values dropped since the start.
    pub(crate) fn news(&self, tally: &Tally, dropped: u64) -> Vec<News> {
        let metrics = tally.metrics(dropped).into_iter().enumerate();
        let news = metrics.map(|(at, (name, kind, count))| News {
            line: self.line(name, kind, count - self.told[at]),
            at,
            count,
        });
        news.filter(|news| news.count > self.told[news.at])
            .collect()
    }

    /// News that the server took.
    pub(crate) fn told(&mut self, news: &News) {
        self.told[news.at] = news.count;
    }

    /// Starts the next period.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.due = now + PERIOD;
    }

    fn line(&self, name: &str, kind: &str, count: u64) -> String {
        let mut line = format!("datadog.dogstatsd.client.{name}:{count}|c");
        if kind.is_empty() {
            line.push_str(&self.tail);
        } else {
            // Behind the tail's `|#`.
            let (start, tags) = self.tail.split_at(2);
            let _ = write!(line, "{start}metrics_type:{kind},{tags}");
        }
        line
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
            let news = telemetry.news(tally, 2);
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

        let taken = telemetry.news(&tally, 2);
        taken[1..].iter().for_each(|news| telemetry.told(news));
        Tally::add(&tally.values[Kind::Gauge as usize], 1);
        let expected = format!(
            "datadog.dogstatsd.client.metrics:4|c|#{tags}\n\
             datadog.dogstatsd.client.metrics_by_type:1|c|#metrics_type:gauge,{tags}\n"
        );
        assert_eq!(lines(&telemetry, &tally), expected);
    }
}
