//! What spans tell of panics. The hook is the process', hence a file of its own.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::panic::catch_unwind;

use common::{LIMIT, config, named, start};
use datadog_local_agent::LocalAgent;
use datadog_trace::fail_spans_on_panic;

#[test]
fn a_span_that_catches_panics_tells_the_last_one() {
    fail_spans_on_panic();
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    tracer.traced("jobs", |_span| {
        for job in ["first", "second"] {
            assert!(catch_unwind(|| panic!("this test wants the {job}")).is_err());
        }
    });
    tracer.flush(LIMIT);
    let spans = agent.spans();
    let message = &named(&spans, "jobs").meta["error.message"];
    assert_eq!(message, "this test wants the second");
}
