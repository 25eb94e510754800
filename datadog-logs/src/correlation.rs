//! What ties a record to the trace that it was written in.

use std::fmt;

use datadog_config::DDConfig;
use datadog_transport::context::ActiveSpan;

/// How trace ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceIdForm {
    /// All 128 bits, as 32 hexadecimal digits; an id that has no more than 64 bits in decimal, as other clients of
    /// Datadog write it (dd-trace-go: `ddtrace/tracer/spancontext.go`).
    Whole,
    /// The low 64 bits, in decimal.
    Low,
}

impl TraceIdForm {
    /// `None` with `DD_LOGS_INJECTION` off.
    pub(crate) fn of(config: &DDConfig) -> Option<Self> {
        let form = if config.trace_id_128_bit_logging_enabled() {
            Self::Whole
        } else {
            Self::Low
        };
        config.logs_injection().then_some(form)
    }

    /// Whether this id is written in hexadecimal.
    pub(crate) fn is_whole(self, trace_id: u128) -> bool {
        self == Self::Whole && trace_id >> 64 != 0
    }
}

/// What a logger of plain text adds to a line so that Datadog can tie it to the trace, such as
/// `dd.service=shop dd.env=prod dd.version=1.2 dd.trace_id=… dd.span_id=…`. The ids are 0 outside of spans. Empty with
/// `DD_LOGS_INJECTION` off.
///
/// Made by [`Logs::correlation`](crate::Logs::correlation), for the span that is active on the thread then. In the
/// format of another logger, here the one of the crate `env_logger`:
///
/// ```
/// use std::io::Write;
///
/// # use datadog_logs::{DDConfig, Logs};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = DDConfig::builder().environment([("", ""); 0]).service("shop").env("prod").build()?;
/// # let logs = Logs::start(&config)?;
/// let correlated = logs.clone();
/// let logger = env_logger::Builder::new()
///     .filter_level(log::LevelFilter::Info)
///     .format(move |out, record| {
///         let (level, correlation) = (record.level(), correlated.correlation());
///         writeln!(out, "{level} [{correlation}] {}: {}", record.target(), record.args())
///     })
/// #   .target(env_logger::Target::Pipe(Box::new(std::fs::File::create("/dev/stderr")?)))
///     .build();
/// // INFO [dd.service=shop dd.env=prod dd.trace_id=… dd.span_id=…] shop::orders: order placed
/// # log::Log::log(&logger, &log::Record::builder().level(log::Level::Info).args(format_args!("order placed")).build());
/// # Ok(()) }
/// ```
///
/// Datadog's pipelines for texts find the ids by these names
/// (dd-trace-py: `ddtrace/contrib/internal/logging/patch.py`).
#[derive(Clone, Copy, Debug)]
pub struct Correlation<'a> {
    pub(crate) labels: &'a str,
    pub(crate) form: Option<TraceIdForm>,
    pub(crate) span: Option<ActiveSpan>,
}

impl fmt::Display for Correlation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(form) = self.form else {
            return Ok(());
        };
        let (trace_id, span_id) = self
            .span
            .map_or((0, 0), |span| (span.trace_id, span.span_id));
        f.write_str(self.labels)?;
        if form.is_whole(trace_id) {
            write!(f, "dd.trace_id={trace_id:032x} dd.span_id={span_id}")
        } else {
            write!(f, "dd.trace_id={} dd.span_id={span_id}", trace_id as u64)
        }
    }
}

/// `dd.service=shop dd.env=prod dd.version=1.2 `, without what is not set.
pub(crate) fn labels(config: &DDConfig) -> String {
    let labels = [
        ("service", Some(config.service())),
        ("env", config.env()),
        ("version", config.version()),
    ];
    labels
        .into_iter()
        .filter_map(|(name, value)| Some(format!("dd.{name}={} ", value?)))
        .collect()
}
