//! The active span of each thread and the identity of the process, published in memory for profilers outside of the
//! process, in OpenTelemetry's forms (open-telemetry/opentelemetry-specification: `oteps/profiles/4947-thread-ctx.md`,
//! `oteps/profiles/4719-process-ctx.md`). Both are drafts.
//!
//! Such a profiler finds the variable by its name among the dynamic symbols of the program, where a linker puts those of
//! an executable only on request: `-Wl,--export-dynamic-symbol=otel_thread_ctx_v1`.

mod process;
mod thread;

use datadog_config::DDConfig;

pub(crate) use thread::show;

/// Publishes from now on. For as long as the process runs: who reads it can't be told to stop.
pub(crate) fn publish(config: &DDConfig) {
    if !thread::is_exported() {
        log::warn!(
            target: "datadog",
            "profilers outside of the process can't find its spans: link the program with -Wl,--export-dynamic-symbol={}",
            thread::SYMBOL.to_string_lossy()
        );
    }
    match process::publish(config) {
        Ok(()) => thread::publish(),
        Err(error) => {
            log::warn!(target: "datadog", "profilers outside of the process can't read it: {error}");
        }
    }
}
