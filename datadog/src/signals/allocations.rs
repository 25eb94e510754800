//! What the program allocates, as metrics of its runtime.

use datadog_metrics::RuntimeMetrics;
use datadog_profiling::allocation_figures;

/// Adds the figures of the profiled allocator. Without one nothing is told.
pub(crate) fn observe(metrics: &RuntimeMetrics) {
    metrics.observe(
        "alloc.bytes",
        news_of(|| allocation_figures().allocated_bytes),
    );
    metrics.observe(
        "alloc.count",
        news_of(|| allocation_figures().allocated_objects),
    );
    metrics.observe("alloc.in_use.bytes", || {
        let figures = allocation_figures();
        (figures.in_use_objects > 0).then_some(figures.in_use_bytes as f64)
    });
}

/// What a sum grew by since the last call; nothing while it is 0.
fn news_of(sum: impl Fn() -> u64 + Send) -> impl FnMut() -> Option<f64> + Send {
    let mut before = 0;
    move || {
        let now = sum();
        let news = now.saturating_sub(before);
        before = now;
        (now > 0).then_some(news as f64)
    }
}
