//! How much is in one request, and what becomes of what is too much for any.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{LIMIT, assert_balanced, config, start};
use datadog_config::TraceProtocol;
use datadog_local_agent::{Endpoint, Fault, LocalAgent, Received};
use datadog_trace::Tracer;
use datadog_transport::{DropReason, Standalone};
use serde_json::json;

/// A payload is closed once it has so many bytes, and the agent takes so many (dd-trace-go:
/// `ddtrace/tracer/payload.go`; datadog-agent: `pkg/trace/config/config.go`).
const FULL: usize = 4_750_000;
const MOST: usize = 25 << 20;

/// Text of one span; what is around it is less than [`AROUND`].
const TEXT: usize = 100_000;
const AROUND: usize = 2000;

const PROTOCOLS: [TraceProtocol; 2] = [TraceProtocol::V04, TraceProtocol::V10];

/// An agent, and a tracer that knows it.
fn agent_and_tracer(protocol: TraceProtocol) -> (LocalAgent, Standalone<Tracer>) {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([("endpoints", json!(["/v0.4/traces", "/v1.0/traces"]))]);
    let tracer = start(config(&agent.url()).tracing_protocol(protocol));
    // Asks the agent what it takes.
    tracer.flush(LIMIT);
    (agent, tracer)
}

/// A trace of one span with a text that no other span has.
fn make(tracer: &Standalone<Tracer>, number: usize, bytes: usize) {
    let mut span = tracer.trace("large");
    span.set_tag("text", format!("{number}{}", "x".repeat(bytes)));
}

#[test]
fn many_traces_go_in_several_requests_of_a_size_the_agent_takes() {
    const TRACES: usize = 160;
    for protocol in PROTOCOLS {
        let (agent, tracer) = agent_and_tracer(protocol);
        // While the worker waits for the answer to the first trace, all others come.
        let first = match protocol {
            TraceProtocol::V04 => Endpoint::Traces,
            _ => Endpoint::TracesV10,
        };
        agent.fail_next(1, first, Fault::Delay(Duration::from_secs(1)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                make(&tracer, TRACES, 1);
                tracer.flush(LIMIT);
            });
            let has_first = |got: &Received| !got.traces().is_empty();
            agent.wait_for(LIMIT, has_first).unwrap();
            (0..TRACES).for_each(|number| make(&tracer, number, TEXT));
        });
        tracer.flush(LIMIT);
        let health = tracer.health().total();
        assert_eq!(
            (health.delivered, health.dropped.total()),
            (TRACES as u64 + 1, 0),
            "{:?}",
            agent.refusals()
        );
        let requests = agent.requests();
        let with_traces = requests
            .iter()
            .filter(|request| request.path.ends_with("/traces"));
        let sizes: Vec<usize> = with_traces.map(|request| request.body.len()).collect();
        let least = TRACES * TEXT / (FULL + TEXT + AROUND);
        assert!(sizes.len() > least, "{sizes:?}");
        let most = FULL + TEXT + AROUND;
        assert!(sizes.iter().all(|size| *size <= most), "{sizes:?}");
        let spans = agent.spans();
        let texts: HashSet<_> = spans.iter().map(|span| span.tag("text").unwrap()).collect();
        assert_eq!((spans.len(), texts.len()), (TRACES + 1, TRACES + 1));
        assert_balanced(&tracer.health());
    }
}

#[test]
fn a_span_that_is_more_than_the_agent_takes_is_counted_and_costs_no_other_one() {
    for protocol in PROTOCOLS {
        let (agent, tracer) = agent_and_tracer(protocol);
        make(&tracer, 1, 0);
        make(&tracer, 2, MOST);
        make(&tracer, 3, 0);
        tracer.flush(LIMIT);
        make(&tracer, 4, 0);
        tracer.flush(LIMIT);
        let health = tracer.health().total();
        assert_eq!((health.accepted, health.delivered), (4, 3), "{health:?}");
        assert_eq!(health.dropped.get(DropReason::TooLarge), 1, "{health:?}");
        let spans = agent.spans();
        let mut texts: Vec<_> = spans.iter().map(|span| span.tag("text").unwrap()).collect();
        texts.sort();
        assert_eq!(texts, ["1", "3", "4"]);
        assert_balanced(&tracer.health());
    }
}
