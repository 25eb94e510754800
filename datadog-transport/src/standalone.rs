//! One signal crate used alone.

use std::ops::Deref;
use std::time::Duration;

use datadog_config::DDConfig;

use crate::{FlushReport, Health, Transport, TransportBuilder, TransportError};

/// One signal with a worker of its own: what a signal crate's `start` returns when it is used without the
/// `datadog` facade. It dereferences to the signal's handle, and flushes on drop.
#[derive(Debug)]
pub struct Standalone<H> {
    handle: H,
    transport: Transport,
}

impl<H> Standalone<H> {
    /// Starts a worker for the one signal that `join` adds.
    ///
    /// # Errors
    ///
    /// Those of `join` and of [`TransportBuilder::start`].
    pub fn start(
        config: &DDConfig,
        join: impl FnOnce(&mut TransportBuilder) -> Result<H, TransportError>,
    ) -> Result<Self, TransportError> {
        let mut builder = TransportBuilder::new(config);
        let handle = join(&mut builder)?;
        Ok(Self {
            handle,
            transport: builder.start()?,
        })
    }

    /// Sends everything buffered, and waits for it, at most `timeout`.
    pub fn flush(&self, timeout: Duration) -> FlushReport {
        self.transport.flush(timeout)
    }

    /// Delivers what is buffered, drops and counts the rest after `timeout`, and ends the worker.
    pub fn shutdown(&self, timeout: Duration) -> FlushReport {
        self.transport.shutdown(timeout)
    }

    /// The account of the signal.
    pub fn health(&self) -> Health {
        self.transport.health()
    }
}

impl<H> Deref for Standalone<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.handle
    }
}
