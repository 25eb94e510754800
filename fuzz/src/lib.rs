//! What the targets of the header formats share.

use std::time::Duration;

use datadog_config::{DDConfig, PropagationStyle};
use datadog_trace::{Standalone, Tracer};

/// Headers of a request.
pub type Headers = Vec<(String, String)>;

/// A tracer that reads and writes these formats, and whose agent does not exist.
pub fn tracer(styles: &[&str]) -> Standalone<Tracer> {
    let styles = styles.iter().map(|style| style.parse().expect("a format"));
    let styles: Vec<PropagationStyle> = styles.collect();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url("unix:///nowhere/apm.socket")
        .shutdown_timeout(Duration::from_millis(1))
        .tracing_buffer_bytes(30_000)
        .client_ip_enabled(true)
        .propagation_style_extract(styles.clone())
        .propagation_style_inject(styles)
        .build()
        .expect("a good config");
    Tracer::start(&config).expect("a thread")
}

/// The lines of a text as the values of these headers. More lines are more of the same headers, from the first one on.
pub fn headers(names: &[&str], text: &str) -> Headers {
    let pairs = names.iter().cycle().zip(text.split('\n'));
    pairs
        .map(|(name, value)| ((*name).to_owned(), value.to_owned()))
        .collect()
}

/// The lines `name: value` of a text; others are left out.
pub fn request(text: &str) -> Headers {
    let lines = text.split('\n').filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Goes on with what headers bring, if they bring something: what is written then is read as the same trace, and
/// written once more it is the same but for the span's id.
pub fn check(tracer: &Tracer, headers: &Headers) {
    let Some(upstream) = tracer.extract(headers) else {
        return;
    };
    let (first, first_id) = written(tracer, &upstream);
    let again = tracer.extract(&first);
    if upstream.trace_id() != 0 {
        let again = again.as_ref().expect("what is written can be read");
        assert_eq!(again.trace_id(), upstream.trace_id());
        assert_eq!(again.span_id(), first_id);
    }
    if let Some(again) = again {
        let (second, _) = written(tracer, &again);
        let names = |headers: &Headers| -> Vec<String> {
            headers.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(&second), names(&first));
        for ((name, one), (_, other)) in first.iter().zip(&second) {
            if name == "baggage" || name == "x-datadog-tags" || name == "x-datadog-origin" {
                assert_eq!(other, one);
            }
        }
    }
}

/// The headers of a span that goes on with a context, and the span's id.
fn written(tracer: &Tracer, upstream: &datadog_trace::SpanContext) -> (Headers, u64) {
    let span = tracer.trace_from(upstream, "fuzz");
    let mut headers = Headers::new();
    span.inject(&mut headers);
    (headers, span.span_id())
}
