//! The worker's half: takes finished records and posts them to the intake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_transport::{Account, IntakeClient, Outbox, Part, Pass, Payload, Queue, Signal};

/// Public API reference, "Send logs".
const PATH: &str = "/api/v2/logs";

/// The most entries of one request (public API reference, "Send logs").
const MAX_ENTRIES: usize = 1000;

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
        let mut list = JsonList::default();
        while list.entries.len() < MAX_ENTRIES && list.body.len() < FULL_BYTES {
            let Some((entry, items)) = self.queue.pop() else {
                break;
            };
            list.push(&entry, items);
        }
        (!list.entries.is_empty()).then(|| list.close())
    }
}

/// A request body that is being written: a JSON array of records.
#[derive(Default)]
struct JsonList {
    body: Vec<u8>,
    entries: Vec<Part>,
}

impl JsonList {
    fn push(&mut self, entry: &[u8], items: u64) {
        self.body
            .push(if self.entries.is_empty() { b'[' } else { b',' });
        let start = self.body.len();
        self.body.extend_from_slice(entry);
        self.entries.push(Part {
            bytes: start..self.body.len(),
            items,
        });
    }

    fn close(mut self) -> Payload {
        self.body.push(b']');
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Payload::list(self.body, headers, self.entries, frame)
    }
}

fn frame(entries: &[(&[u8], u64)]) -> Payload {
    let mut list = JsonList::default();
    for (entry, items) in entries {
        list.push(entry, *items);
    }
    list.close()
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
