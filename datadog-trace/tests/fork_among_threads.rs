//! A process that forks while its other threads start and end traces. Alone in its binary, for the threads it has.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(unsafe_code, reason = "the standard library has no fork")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{config, start};
use datadog_config::{SamplingRule, SpanSamplingRule};
use datadog_local_agent::LocalAgent;
use datadog_trace::Parent;

/// So many that one of them comes while another thread holds a lock.
const FORKS: usize = 100;

/// When a child that waits for such a lock is given up.
const SECONDS: u32 = 5;

#[test]
fn a_child_waits_for_no_lock_that_another_thread_held() {
    let agent = LocalAgent::start().unwrap();
    // What is decided within these limits goes through locks that all threads share.
    let tracer = start(
        config(&agent.url())
            .tracing_sampling_rules([SamplingRule::new(0.5)])
            .span_sampling_rules([SpanSamplingRule::new(1.0).max_per_second(1.0)]),
    );
    let is_over = AtomicBool::new(false);
    // And so does what threads bring to a trace that they share.
    let shared = tracer.trace_detached(Parent::Root, "shared");
    let context = shared.context().unwrap();
    let failed = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    tracer.trace("busy").finish();
                    tracer.trace_from(&context, "shared too").finish();
                }
            });
        }
        let mut failed = None;
        for _ in 0..FORKS {
            // SAFETY: the child uses the allocator, which glibc keeps usable after a fork, and leaves by `_exit`, or is
            // ended by the alarm.
            match unsafe { libc::fork() } {
                0 => {
                    // SAFETY: as above.
                    unsafe { libc::alarm(SECONDS) };
                    (0..20).for_each(|_| tracer.trace("lost").finish());
                    tracer.trace_from(&context, "lost").finish();
                    shared.finish();
                    // SAFETY: as above.
                    unsafe { libc::_exit(0) }
                }
                child => {
                    let mut status = 0;
                    // SAFETY: `status` outlives the call.
                    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                    if status != 0 {
                        failed = Some(status);
                        break;
                    }
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
        failed
    });
    assert_eq!(failed, None, "a child waited until the alarm");
}
