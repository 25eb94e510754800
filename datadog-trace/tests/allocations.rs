//! How much memory spans take on the caller's thread.

mod common;

use allocation_counter::measure;
use common::{LIMIT, config, start};
use datadog_local_agent::LocalAgent;

#[test]
fn a_child_span_takes_no_memory_once_its_memory_was_used_before() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let trace = || {
        let root = tracer.trace("root");
        let children = measure(|| {
            for _ in 0..20 {
                let mut child = tracer.trace("child");
                child.set_tag("http.route", "/cart").set_tag("items", 3);
                tracer.traced("grandchild", |span| {
                    span.set_tag("cached", true).set_resource("SELECT 1");
                });
            }
        });
        root.finish();
        tracer.flush(LIMIT);
        children.count_total
    };
    assert!(trace() > 0, "the first time, memory is taken");
    (0..3).for_each(|_| {
        trace();
    });
    for _ in 0..10 {
        assert_eq!(trace(), 0);
    }
}

#[test]
fn a_tracer_that_is_off_takes_no_memory() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_enabled(false));
    let taken = measure(|| {
        let mut span = tracer.trace("root");
        span.set_tag("http.route", "/cart")
            .set_resource("GET /cart");
        drop(span.context());
    });
    assert_eq!(taken.count_total, 0);
}
