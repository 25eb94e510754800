//! The bridge from the `log` crate.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datadog_transport::diagnostics::is_own;
use log::{LevelFilter, Log, Metadata, SetLoggerError};

use crate::{Level, Logs, encode, kv};

/// A logger for the `log` crate that sends what it gets to Datadog, and on to another logger if there is one.
///
/// The record's target becomes `logger.name`; its place in the source becomes `code.namespace` (the module path,
/// where that differs from the target), `code.file.path` and `code.line.number`; a named thread's name becomes
/// `logger.thread_name`. Key-values, as in `info!(order = 42; "placed")`, become attributes of their types.
///
/// What this client says about itself, or an HTTP library on its behalf, goes to the other logger only.
pub struct DDLogHandler {
    logs: Logs,
    level: LevelFilter,
    /// The highest level of all.
    highest: LevelFilter,
    /// Targets with a level of their own.
    target_levels: Vec<(String, LevelFilter)>,
    tee: Option<Box<dyn Log>>,
    on_use: Option<OnUse>,
    is_used: AtomicBool,
}

type OnUse = Arc<dyn Fn() + Send + Sync>;

impl DDLogHandler {
    pub(crate) fn new(logs: Logs) -> Self {
        Self {
            logs,
            level: LevelFilter::Info,
            highest: LevelFilter::Info,
            target_levels: Vec::new(),
            tee: None,
            on_use: None,
            is_used: AtomicBool::new(false),
        }
    }

    /// Calls `tell` when this becomes the program's logger, and with the first record that it gets, as a part of another
    /// logger maybe.
    #[doc(hidden)]
    #[must_use]
    pub fn on_use(mut self, tell: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_use = Some(Arc::new(tell));
        self
    }

    /// Takes records up to `level`. Default: info.
    #[must_use]
    pub fn level(mut self, level: LevelFilter) -> Self {
        self.level = level;
        self.with_highest()
    }

    /// Takes records of `target`, and of the targets below it such as `target::part`, up to another level. Of several
    /// that fit the longest counts.
    #[must_use]
    pub fn target_level(mut self, target: impl Into<String>, level: LevelFilter) -> Self {
        self.target_levels.push((target.into(), level));
        self.with_highest()
    }

    /// Hands every record on to `other` as well, which does its own filtering.
    #[must_use]
    pub fn tee(mut self, other: Box<dyn Log>) -> Self {
        self.tee = Some(other);
        self
    }

    /// Makes this the program's logger, and the highest of its levels the program's maximum.
    /// [`log::set_max_level`] may raise it later for the sake of the other logger.
    ///
    /// # Errors
    ///
    /// The program already has a logger.
    pub fn install(self) -> Result<(), SetLoggerError> {
        let (level, on_use) = (self.highest, self.on_use.clone());
        log::set_boxed_logger(Box::new(self))?;
        log::set_max_level(level);
        if let Some(tell) = on_use {
            tell();
        }
        Ok(())
    }

    fn with_highest(mut self) -> Self {
        let levels = self.target_levels.iter().map(|(_, level)| *level);
        self.highest = levels.fold(self.level, Ord::max);
        self
    }

    #[inline]
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.highest && self.takes_target(metadata)
    }

    fn takes_target(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level_of(metadata.target()) && !is_own(metadata.target())
    }

    fn level_of(&self, target: &str) -> LevelFilter {
        self.target_levels
            .iter()
            .filter(|(above, _)| is_below(target, above))
            .max_by_key(|(above, _)| above.len())
            .map_or(self.level, |(_, level)| *level)
    }

    fn send(&self, record: &log::Record<'_>) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
            if let Some(tell) = &self.on_use {
                tell();
            }
        }
        let target = record.target();
        let mut entry = self
            .logs
            .write(Level::from(record.level()), |json| {
                encode::display(json, *record.args(), self.logs.redaction());
            })
            .with("logger.name", target);
        if let Some(module) = record.module_path().filter(|module| *module != target) {
            entry = entry.with("code.namespace", module);
        }
        if let Some(file) = record.file() {
            entry = entry.with("code.file.path", file);
        }
        if let Some(line) = record.line() {
            entry = entry.with("code.line.number", line);
        }
        let mut entry = entry.with_thread_name();
        kv::add(&mut entry, record.key_values());
    }
}

impl Log for DDLogHandler {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.takes(metadata) || self.tee.as_ref().is_some_and(|tee| tee.enabled(metadata))
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.takes(record.metadata()) {
            self.send(record);
        }
        if let Some(tee) = self
            .tee
            .as_ref()
            .filter(|tee| tee.enabled(record.metadata()))
        {
            tee.log(record);
        }
    }

    /// Asks the worker to send soon, without waiting for it.
    fn flush(&self) {
        self.logs.wake();
        if let Some(tee) = &self.tee {
            tee.flush();
        }
    }
}

/// Whether `target` is `above`, or a part of it.
fn is_below(target: &str, above: &str) -> bool {
    target
        .strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl fmt::Debug for DDLogHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DDLogHandler")
            .field("level", &self.level)
            .field("target_levels", &self.target_levels)
            .field("tee", &self.tee.is_some())
            .finish_non_exhaustive()
    }
}
