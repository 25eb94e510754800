//! Logs.

use std::error::Error;

use datadog_logs::{DDLogHandler, Level, Logger, Logs, Record};
use datadog_transport::{FlushReport, SignalKind};

use crate::DDClient;

impl DDClient {
    /// Writes a log record. Attributes may be added to what this returns; it is taken when that is dropped, so
    /// a plain `client.log(level, "text");` is complete.
    pub fn log(&self, level: Level, message: impl AsRef<str>) -> Record {
        self.inner.logs.log(level, message)
    }

    /// Writes a log record of level debug; see [`DDClient::log`].
    pub fn debug(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Debug, message)
    }

    /// Writes a log record of level info; see [`DDClient::log`].
    pub fn info(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Info, message)
    }

    /// Writes a log record of level warning; see [`DDClient::log`].
    pub fn warning(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Warning, message)
    }

    /// Writes a log record of level error; see [`DDClient::log`].
    pub fn error(&self, message: impl AsRef<str>) -> Record {
        self.log(Level::Error, message)
    }

    /// Writes a log record of level error with the error's type, message, sources and backtrace.
    pub fn exception<E: Error + ?Sized>(&self, error: &E) -> Record {
        self.inner.logs.exception(error)
    }

    /// A logger with a name, to which attributes and a level may be given.
    pub fn get_logger(&self, name: impl AsRef<str>) -> Logger {
        self.inner.logs.get_logger(name)
    }

    /// The logs alone: for [`Logs::log_panics`], [`Logs::log_format`] and [`Logs::correlation`].
    pub fn logs(&self) -> &Logs {
        &self.inner.logs
    }

    /// A logger for the `log` crate that writes here. It may outlive the client, and then drops what it gets.
    pub fn log_handler(&self) -> DDLogHandler {
        let handler = self.inner.logs.handler();
        #[cfg(feature = "tracing")]
        let handler = {
            let modules = std::sync::Arc::clone(&self.inner.modules);
            handler.on_use(move || modules.set_used(crate::patch::ModuleId::Log))
        };
        handler
    }

    /// Sends the records that are buffered, and waits at most the shutdown timeout for it.
    pub fn flush_logs(&self) -> FlushReport {
        self.inner
            .transport
            .flush_signal(SignalKind::Logs, self.inner.config.shutdown_timeout())
    }
}
