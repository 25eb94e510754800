//! A process that forks. Alone in its binary: the child has only the thread that forked.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]
#![expect(unsafe_code, reason = "the standard library has no fork")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_transport::{DropReason, Pass, Queue, Signal, SignalKind, Transport, TransportBuilder};

/// Counts what it pops as delivered.
struct Sink {
    queue: Arc<Queue<()>>,
    account: Arc<datadog_transport::Account>,
}

impl Signal for Sink {
    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn run(&mut self, _: &Pass) -> Option<Instant> {
        while let Some(((), items)) = self.queue.pop() {
            self.account.deliver(items, 0);
        }
        None
    }

    fn close(&mut self) {
        self.queue.close();
    }
}

fn start() -> (Transport, Arc<Queue<()>>) {
    let config = DDConfig::builder().environment([("", "")]).build().unwrap();
    let mut builder = TransportBuilder::new(&config);
    let queue = builder.add(SignalKind::Logs, |seat| {
        let queue = Arc::new(Queue::new(100, Arc::clone(&seat.account), seat.waker));
        (
            Sink {
                queue: Arc::clone(&queue),
                account: seat.account,
            },
            queue,
        )
    });
    (builder.start().unwrap(), queue)
}

fn child(transport: Transport, queue: &Queue<()>) -> Result<(), String> {
    let start_of_child = Instant::now();
    queue.push((), 1, 60);
    let report = transport.flush(Duration::from_secs(60));
    let health = transport.health().total();
    if health.dropped.get(DropReason::Forked) != 1 || report.complete {
        return Err(format!("{report} {health:?}"));
    }
    let (own, own_queue) = start();
    // The parent's worker is none of the child's, whatever the system makes of its memory.
    drop(transport);
    own_queue.push((), 1, 1);
    let report = own.flush(Duration::from_secs(10));
    if report.delivered != 1 {
        return Err(format!("a client of its own: {report}"));
    }
    match start_of_child.elapsed() {
        quick if quick < Duration::from_secs(10) => Ok(()),
        slow => Err(format!("{slow:?}")),
    }
}

#[test]
fn a_child_counts_what_it_can_not_send_and_may_start_a_client_of_its_own() {
    let (transport, queue) = start();
    queue.push((), 1, 1);
    // SAFETY: the child uses the allocator, which glibc keeps usable after a fork, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let outcome = child(transport, &queue);
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
            assert_eq!(
                transport.flush(Duration::from_secs(10)).delivered,
                1,
                "the parent goes on"
            );
        }
    }
}
