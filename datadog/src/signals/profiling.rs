//! Profiles.

use datadog_transport::{FlushReport, SignalKind};

use crate::DDClient;

impl DDClient {
    /// Starts the CPU profiler, if it does not run yet.
    pub fn profiling_start(&self) {
        self.inner.profiler.start_sampling();
    }

    /// Stops the CPU profiler. What it found so far is uploaded by the next flush, period or shutdown.
    pub fn profiling_stop(&self) {
        self.inner.profiler.stop_sampling();
    }

    /// Uploads what the profiler found since the last upload, and waits at most the shutdown timeout for it.
    pub fn flush_profiles(&self) -> FlushReport {
        self.inner
            .transport
            .flush_signal(SignalKind::Profiles, self.inner.config.shutdown_timeout())
    }
}
