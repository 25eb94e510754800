//! A named logger, with attributes and a level of its own.

use std::error::Error;
use std::sync::Arc;

use datadog_transport::ErrorReport;

use crate::draft::Draft;
use crate::{Level, Logs, Record, Value};

/// Writes records that carry its name as `logger.name`, the thread's name as `logger.thread_name`, and its own
/// attributes. Cheap to clone.
///
/// ```
/// # use datadog_config::DDConfig;
/// # use datadog_logs::{Level, Logs};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let agent = datadog_local_agent::LocalAgent::start()?;
/// # let config = DDConfig::builder().api_key("0123456789abcdef0123456789abcdef")
/// #     .logs_direct_submission_url(agent.url()).build()?;
/// # let logs = Logs::start(&config)?;
/// let checkout = logs
///     .get_logger("shop::checkout")
///     .level(Level::Warning)
///     .with("region", "eu");
/// checkout.info("not important enough");
/// checkout.error("card refused").with("card.kind", "debit");
/// # logs.shutdown(std::time::Duration::from_secs(1));
/// # assert_eq!(agent.logs().len(), 1);
/// # assert_eq!(agent.logs()[0].attribute("region"), Some(&"eu".into()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Logger {
    logs: Logs,
    level: Level,
    attributes: Arc<Draft>,
}

impl Logger {
    pub(crate) fn new(logs: Logs, name: &str) -> Self {
        let logger = Self {
            logs,
            level: Level::Debug,
            attributes: Arc::default(),
        };
        logger.with("logger.name", name)
    }

    /// Leaves out what is less important than `level`; it is not even counted. Default: nothing.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Adds an attribute to every record. One of the record itself replaces it; see [`Record::with`].
    #[must_use]
    pub fn with<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        let redaction = self.logs.redaction();
        Arc::make_mut(&mut self.attributes).attribute(key, &value.into(), redaction);
        self
    }

    /// Whether records of this level are taken.
    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        level >= self.level
    }

    /// Starts a record, as [`Logs::log`] does.
    #[inline]
    pub fn log(&self, level: Level, message: impl AsRef<str>) -> Record {
        if !self.enabled(level) {
            return Record::none();
        }
        self.start(level, message.as_ref())
    }

    /// Not inlined, so that a record that is left out costs its caller a comparison and nothing else.
    #[inline(never)]
    fn start(&self, level: Level, message: &str) -> Record {
        self.logs
            .log(level, message)
            .with_all(&self.attributes)
            .with_thread_name()
    }

    /// Starts a record of level debug.
    #[inline]
    pub fn debug(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Debug, message)
    }

    /// Starts a record of level info.
    #[inline]
    pub fn info(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Info, message)
    }

    /// Starts a record of level warning.
    #[inline]
    pub fn warning(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Warning, message)
    }

    /// Starts a record of level error.
    #[inline]
    pub fn error(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Error, message)
    }

    /// Starts a record of level error that says what `error` says about itself; see [`Record::with_error`].
    pub fn exception<E: Error + ?Sized>(&self, error: &E) -> Record {
        if !self.enabled(Level::Error) {
            return Record::none();
        }
        let report = ErrorReport::of(error);
        self.log(Level::Error, &report.message).with_report(report)
    }
}
