//! A process that forks while its other threads have spans of `tracing`. Alone in its binary, for the threads it has.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(unsafe_code, reason = "the standard library has no fork")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use datadog::{DDClient, DDConfig};
use datadog_local_agent::LocalAgent;
use tracing::dispatcher::with_default;
use tracing::{Dispatch, info_span};
use tracing_subscriber::layer::SubscriberExt;

/// So many that one of them comes while another thread holds a lock.
const FORKS: usize = 30;

/// The spans that a child has open: more than the layer has locks.
const OPEN: usize = 4_000;

/// When a child that waits for such a lock is given up.
const SECONDS: u32 = 10;

#[test]
fn a_child_waits_for_no_lock_that_another_thread_held() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url());
    let client = DDClient::new(config.build().unwrap()).unwrap();
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(client.tracing_layer()));
    let is_over = AtomicBool::new(false);
    let failed = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                with_default(&dispatch, || {
                    while !is_over.load(Ordering::Relaxed) {
                        let span = info_span!("busy", http.route = "/");
                        (0..20).for_each(|_| _ = span.record("http.route", "/cart/{id}"));
                    }
                });
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
                    with_default(&dispatch, || {
                        let open = (0..OPEN).map(|_| info_span!("lost"));
                        drop(open.collect::<Vec<_>>());
                    });
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
