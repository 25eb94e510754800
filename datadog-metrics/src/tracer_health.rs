//! What the tracer of the same client did, as the official clients tell it.

use datadog_transport::SignalHealth;

use crate::telemetry::Figure;

/// The figures that the account of the traces knows, which counts spans (dd-trace-go: `ddtrace/tracer/metrics.go` and
/// `writer.go`; dd-trace-java: `TracerHealthMetrics.java`; dd-trace-py: `internal/writer.py`).
pub(crate) fn figures(traces: &SignalHealth) -> Vec<Figure> {
    let known = [
        ("datadog.tracer.spans_finished", traces.accepted),
        ("datadog.tracer.flush.spans.total", traces.delivered),
        ("datadog.tracer.flush_bytes", traces.bytes),
        ("datadog.tracer.api.requests.total", traces.requests),
    ];
    let known = known
        .into_iter()
        .map(|(name, count)| Figure::new(name, "", count));
    let dropped = traces.dropped.iter().map(|(reason, count)| {
        let tag = format!("reason:{reason},").replace(' ', "_");
        Figure::new("datadog.tracer.queue.dropped.spans", tag, count)
    });
    known.chain(dropped).collect()
}

#[cfg(test)]
mod tests {
    use datadog_transport::{Account, DropReason};

    use super::*;

    #[test]
    fn the_figures_are_those_of_the_account() {
        let account = Account::default();
        account.accept(9);
        account.deliver(4, 700);
        account.request(false);
        account.request(true);
        account.drop_items(DropReason::QueueFull, 2);
        account.drop_items(DropReason::Refused(404), 3);
        let expected = [
            Figure::new("datadog.tracer.spans_finished", "", 9),
            Figure::new("datadog.tracer.flush.spans.total", "", 4),
            Figure::new("datadog.tracer.flush_bytes", "", 700),
            Figure::new("datadog.tracer.api.requests.total", "", 2),
            dropped("reason:queue_full,", 2),
            dropped("reason:refused_with_404,", 3),
        ];
        assert_eq!(figures(&account.snapshot()), expected);
    }

    fn dropped(tag: &str, count: u64) -> Figure {
        Figure::new("datadog.tracer.queue.dropped.spans", tag, count)
    }
}
