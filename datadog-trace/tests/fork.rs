//! A process that forks in the middle of a trace. Alone in its binary: the child has only the thread that forked.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(unsafe_code, reason = "the standard library has no fork")]

mod common;

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{LIMIT, config, named, start};
use datadog_local_agent::{LocalAgent, Received};
use datadog_trace::{DetachedSpan, Span, Tracer};
use datadog_transport::{DropReason, SignalKind, Standalone};

/// How many process contexts this process shows.
fn contexts() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("OTEL_CTX"))
        .count()
}

fn tracer(agent: &LocalAgent) -> Standalone<Tracer> {
    start(config(&agent.url()).long_running_enabled(true))
}

fn child(
    agent: &LocalAgent,
    parents: Standalone<Tracer>,
    root: Span,
    open: DetachedSpan,
) -> Result<(), String> {
    if contexts() != 0 {
        return Err("the parent's process context is here".to_owned());
    }
    parents.trace("lost").finish();
    root.finish();
    open.finish();
    parents.trace("lost too").finish();
    let health = parents.health().signal(SignalKind::Traces);
    // With the spans that the parent had finished, one of which waits.
    if health.dropped.get(DropReason::Forked) != 6 || health.buffered != 0 {
        return Err(format!("{health:?}"));
    }
    let own = tracer(agent);
    {
        let _root = own.trace("child root");
        own.trace("child's child").finish();
    }
    let report = own.flush(LIMIT);
    if report.delivered != 2 {
        return Err(format!("a tracer of its own: {report}"));
    }
    drop(parents);
    match contexts() {
        1 => Ok(()),
        count => Err(format!("{count} process contexts")),
    }
}

#[test]
fn a_child_counts_what_it_can_not_send_and_may_start_a_tracer_of_its_own() {
    let agent = LocalAgent::start().unwrap();
    let tracer = tracer(&agent);
    let open = tracer.traced("waits", |_root| tracer.trace("open").detach());
    let root = tracer.trace("root");
    tracer.trace("before").finish();
    assert_eq!(contexts(), 1);
    // SAFETY: the child uses the allocator, which glibc keeps usable after a fork, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let work = AssertUnwindSafe(|| child(&agent, tracer, root, open));
            let outcome = catch_unwind(work).unwrap_or_else(|_| Err("it panics".to_owned()));
            if let Err(text) = &outcome {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "child: {text}");
            }
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(i32::from(outcome.is_err())) }
        }
        child => {
            assert!(child > 0);
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "the child says why on stderr");
            // So many that the child's ids would be among theirs if it went on where the parent did.
            (0..20).for_each(|_| tracer.trace("after").finish());
            root.finish();
            open.finish();
            assert_eq!(tracer.flush(LIMIT).delivered, 24, "the parent goes on");
            assert_eq!(contexts(), 1);
            let arrived = |got: &Received| got.traces().len() == 3;
            agent.wait_for(LIMIT, arrived).unwrap();
            let spans = agent.spans();
            let ids: HashSet<u64> = spans.iter().map(|span| span.span_id).collect();
            assert_eq!((ids.len(), spans.len()), (26, 26));
            let (parents, childs) = (named(&spans, "root"), named(&spans, "child root"));
            assert_ne!(parents.trace_id_128(), childs.trace_id_128());
            assert_ne!(parents.meta["runtime-id"], childs.meta["runtime-id"]);
        }
    }
}
