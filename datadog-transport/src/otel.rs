//! The active span of each thread, published in memory for profilers outside of the process, in OpenTelemetry's form
//! (open-telemetry/opentelemetry-specification: `oteps/profiles/4947-thread-ctx.md`), which is a draft.
//! [`ProcessContext`](crate::ProcessContext) says what the form is.
//!
//! Such a profiler finds the variable by its name among the dynamic symbols of the program, where a linker puts those of
//! an executable only on request: `-Wl,--export-dynamic-symbol=otel_thread_ctx_v1`.

mod thread;

pub(crate) use thread::show;

/// Publishes from now on. For as long as the process runs: who reads it can't be told to stop.
pub(crate) fn publish() {
    if !thread::is_exported() {
        log::warn!(
            target: "datadog",
            "profilers outside of the process can't find its spans: link the program with -Wl,--export-dynamic-symbol={}",
            thread::SYMBOL.to_string_lossy()
        );
    }
    thread::publish();
}

/// The form of the threads' records, and the names of the attributes in them.
pub(crate) fn records() -> Option<(&'static str, &'static [&'static str])> {
    Some((thread::SCHEMA, &thread::ATTRIBUTES))
}
