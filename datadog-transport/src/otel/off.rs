//! Nothing: the feature `otel-context` is off, or the platform has no such form.

use crate::context::ActiveSpan;

pub(crate) fn publish() {
    log::warn!(
        target: "datadog",
        "profilers outside of the process can't read its spans: that needs the feature `otel-context`, and Linux on x86-64 or aarch64"
    );
}

#[inline]
pub(crate) fn show(_: Option<ActiveSpan>) {}

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody asks"))]
pub(crate) fn records() -> Option<(&'static str, &'static [&'static str])> {
    None
}
