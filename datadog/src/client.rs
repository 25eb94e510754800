//! The client: its start, its end, and what happened in between.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_transport::{FlushReport, Health, Transport, TransportBuilder, TransportError};

/// The Datadog client. Cheap to clone; clones share everything. When the last clone is dropped, what is buffered
/// is delivered within [`DDConfig::shutdown_timeout`].
///
/// Its methods never block on the network, except those that flush or shut down, and never fail: what can't be
/// delivered is counted in [`DDClient::health`].
#[derive(Clone)]
pub struct DDClient {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: DDConfig,
    pub(crate) transport: Transport,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: datadog_metrics::Metrics,
    #[cfg(feature = "runtime-metrics")]
    pub(crate) runtime_metrics: datadog_metrics::RuntimeMetrics,
    #[cfg(feature = "logs")]
    pub(crate) logs: datadog_logs::Logs,
    #[cfg(feature = "tracing")]
    pub(crate) tracer: datadog_trace::Tracer,
    #[cfg(feature = "tracing")]
    pub(crate) modules: Arc<crate::patch::Modules>,
    #[cfg(feature = "profiling")]
    pub(crate) profiler: datadog_profiling::Profiler,
}

impl DDClient {
    /// Starts a client and its worker thread.
    ///
    /// # Errors
    ///
    /// [`TransportError::TlsMissing`] where the config needs `https` and the feature `tls` is not enabled;
    /// [`TransportError::Thread`] where the operating system refuses a thread.
    pub fn new(config: DDConfig) -> Result<Self, TransportError> {
        let client = Self::make(config, TransportBuilder::start)?;
        #[cfg(feature = "tracing")]
        client.patch_as_configured();
        Ok(client)
    }

    pub(crate) fn make(
        config: DDConfig,
        start: impl FnOnce(TransportBuilder) -> Result<Transport, TransportError>,
    ) -> Result<Self, TransportError> {
        #[allow(unused_mut, reason = "without any signal there is nothing to add")]
        let mut transport = TransportBuilder::new(&config);
        #[cfg(feature = "metrics")]
        let metrics = datadog_metrics::Metrics::join(&mut transport)?;
        let client = Self {
            inner: Arc::new(Inner {
                #[cfg(feature = "runtime-metrics")]
                runtime_metrics: crate::signals::runtime_metrics::join(&mut transport, &metrics),
                #[cfg(feature = "metrics")]
                metrics,
                #[cfg(feature = "tracing")]
                tracer: datadog_trace::Tracer::join(&mut transport)?,
                #[cfg(feature = "tracing")]
                modules: Arc::new(crate::patch::Modules::new(&config)),
                #[cfg(feature = "profiling")]
                profiler: datadog_profiling::Profiler::join(&mut transport)?,
                // Last, because not every system lets the worker limit the time of a write to the standard output.
                #[cfg(feature = "logs")]
                logs: datadog_logs::Logs::join(&mut transport)?,
                transport: start(transport)?,
                config,
            }),
        };
        crate::abort::flush_before(&client);
        Ok(client)
    }

    /// The config that the client was made with.
    pub fn config(&self) -> &DDConfig {
        &self.inner.config
    }

    /// Sends everything that is buffered, and waits for it, at most `timeout`. What a receiver does not take
    /// stays buffered and is tried again later. Finished spans that wait for others of their trace stay buffered, too;
    /// those that are still with their thread are no part of it.
    pub fn flush(&self, timeout: Duration) -> FlushReport {
        self.inner.transport.flush(timeout)
    }

    /// Delivers what is buffered, drops and counts what can't be delivered within `timeout`, and stops. Whatever
    /// reaches the client later, from any clone, is counted as dropped.
    pub fn shutdown(&self, timeout: Duration) -> FlushReport {
        self.inner.transport.shutdown(timeout)
    }

    /// What became of every item so far: accepted = delivered + dropped + buffered. Prints as a table. A finished span is
    /// accepted when it leaves its thread, which it does with the others of its trace there.
    pub fn health(&self) -> Health {
        self.inner.transport.health()
    }
}

impl fmt::Debug for DDClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DDClient")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}
