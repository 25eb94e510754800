//! Metrics, events and service checks, whichever way they came.

use std::fmt;

/// One metric submission: one DogStatsD line, or one point of a series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name.
    pub name: String,
    /// What kind of metric.
    pub kind: MetricKind,
    /// All values in the order sent. Empty for a set.
    pub values: Vec<f64>,
    /// The member added to a set.
    pub set_value: Option<String>,
    /// The fraction of events that the sender kept; 1 when not sent.
    pub sample_rate: f64,
    /// The tags in the order sent, each `key:value` or `key`.
    pub tags: Vec<String>,
    /// Seconds since the Unix epoch, if sent.
    pub timestamp: Option<i64>,
    /// The interval in seconds that a series' count or rate stands for.
    pub interval: Option<i64>,
    /// The host, if sent with a series.
    pub host: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// How it came.
    pub via: Via,
}

impl Metric {
    /// Whether this tag was sent, given as `key:value` or `key`.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// The sum of the values as the backend would count it: a count is divided by its sample rate, a rate is
    /// multiplied by its interval.
    pub fn sum(&self) -> f64 {
        let sum: f64 = self.values.iter().sum();
        match (self.kind, self.interval) {
            (MetricKind::Count, _) => sum / self.sample_rate,
            (MetricKind::Rate, Some(seconds)) => sum * seconds as f64,
            _ => sum,
        }
    }
}

/// The kinds of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// DogStatsD `c`; series type 1.
    Count,
    /// Series type 2.
    Rate,
    /// DogStatsD `g`; series type 3.
    Gauge,
    /// DogStatsD `h`.
    Histogram,
    /// DogStatsD `d`; a distribution point.
    Distribution,
    /// DogStatsD `ms`, in milliseconds.
    Timing,
    /// DogStatsD `s`.
    Set,
    /// Series type 0.
    Unspecified,
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Count => "count",
            Self::Rate => "rate",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Distribution => "distribution",
            Self::Timing => "timing",
            Self::Set => "set",
            Self::Unspecified => "unspecified",
        })
    }
}

/// The way a metric, event or service check came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// DogStatsD over UDP.
    Udp,
    /// DogStatsD over the Unix datagram socket.
    UnixDatagram,
    /// DogStatsD over the Unix stream socket.
    UnixStream,
    /// `POST /api/v2/series`.
    Series,
    /// `POST /api/v1/distribution_points`.
    DistributionPoints,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "DogStatsD over UDP",
            Self::UnixDatagram => "DogStatsD over a Unix socket",
            Self::UnixStream => "DogStatsD over a Unix stream",
            Self::Series => "series",
            Self::DistributionPoints => "distribution points",
        })
    }
}

/// The origin fields of a DogStatsD line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// `c:`, a container id: `ci-…`, `in-…`, both, or the bare id.
    pub container_id: Option<String>,
    /// `e:`, external data.
    pub external_env: Option<String>,
    /// `card:`, the tag cardinality: `none`, `low`, `orchestrator` or `high`.
    pub cardinality: Option<String>,
}

/// One DogStatsD event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The title, unescaped.
    pub title: String,
    /// The text, with its line ends restored.
    pub text: String,
    /// Seconds since the Unix epoch, if sent.
    pub timestamp: Option<i64>,
    /// The host, if sent.
    pub hostname: Option<String>,
    /// The aggregation key, if sent.
    pub aggregation_key: Option<String>,
    /// `normal` or `low`, if sent.
    pub priority: Option<String>,
    /// The source type, if sent.
    pub source_type: Option<String>,
    /// `error`, `warning`, `info` or `success`, if sent.
    pub alert_type: Option<String>,
    /// The tags in the order sent.
    pub tags: Vec<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// How it came.
    pub via: Via,
}

/// One DogStatsD service check.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServiceCheck {
    /// The name of the check.
    pub name: String,
    /// What it found.
    pub status: ServiceStatus,
    /// Seconds since the Unix epoch, if sent.
    pub timestamp: Option<i64>,
    /// The host, if sent.
    pub hostname: Option<String>,
    /// The message, with its line ends restored.
    pub message: Option<String>,
    /// The tags in the order sent.
    pub tags: Vec<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// How it came.
    pub via: Via,
}

/// What a service check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceStatus {
    /// 0.
    Ok,
    /// 1.
    Warning,
    /// 2.
    Critical,
    /// 3.
    Unknown,
}

impl fmt::Display for ServiceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        })
    }
}
