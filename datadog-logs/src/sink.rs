//! The worker's half: takes finished records and posts them to the intake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_transport::{Account, IntakeClient, Outbox, Pass, Payload, Queue, Signal};

/// Public API reference, "Send logs".
const PATH: &str = "/api/v2/logs";

/// The most entries of one request (public API reference, "Send logs").
const MAX_ENTRIES: u64 = 1000;

/// A request with this many bytes is closed. One entry of 1 MB still fits before the limit of 5 MB
/// (public API reference, "Send logs").
const FULL_BYTES: usize = 3_900_000;

const PERIOD: Duration = Duration::from_secs(1);

/// The most bytes of requests that wait for the intake.
const OUTBOX_BYTES: usize = 16 << 20;

/// Sends to the logs intake.
pub(crate) struct IntakeSink {
    intake: IntakeClient,
    queue: Arc<Queue<Box<[u8]>>>,
    outbox: Outbox,
}

/// Has nowhere to send to.
pub(crate) struct Idle;

impl IntakeSink {
    pub(crate) fn new(
        intake: IntakeClient,
        queue: Arc<Queue<Box<[u8]>>>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            intake,
            queue,
            outbox: Outbox::new(OUTBOX_BYTES, account),
        }
    }

    /// What waits, up to one full request.
    fn next_payload(&self) -> Option<Payload> {
        let mut body = Vec::new();
        let mut entries = 0;
        while entries < MAX_ENTRIES && body.len() < FULL_BYTES {
            let Some((entry, _)) = self.queue.pop() else {
                break;
            };
            body.push(if entries == 0 { b'[' } else { b',' });
            body.extend_from_slice(&entry);
            entries += 1;
        }
        body.push(b']');
        (entries > 0).then(|| Payload {
            body,
            headers: vec![("Content-Type", "application/json".to_owned())],
            items: entries,
        })
    }
}

impl Signal for IntakeSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        // One request at a time, so that a fast producer finds room in the queue while the intake is busy.
        loop {
            let payload = self.next_payload();
            let more = payload.is_some() && Instant::now() < pass.deadline;
            payload
                .into_iter()
                .for_each(|payload| self.outbox.push(payload));
            let intake = &self.intake;
            let again = self.outbox.deliver(pass, intake.limit(), |payload, limit| {
                intake.post(PATH, payload, limit)
            });
            if !more {
                return again;
            }
        }
    }

    fn close(&mut self) {
        self.queue.close();
        self.outbox.close();
    }
}

impl Signal for Idle {
    fn period(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn run(&mut self, _pass: &Pass) -> Option<Instant> {
        None
    }

    fn close(&mut self) {}
}
