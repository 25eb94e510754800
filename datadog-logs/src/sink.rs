//! The worker's half: takes finished entries and posts them to the intake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_transport::{Account, DropReason, IntakeClient, Outbox, Pass, Payload, Signal};

use crate::buffer::{Block, Buffer};

/// Public API reference, "Send logs".
const PATH: &str = "/api/v2/logs";

/// The most entries of one request (public API reference, "Send logs").
const MAX_ENTRIES: u64 = 1000;

/// The most bytes of one request (public API reference, "Send logs").
const MAX_BYTES: usize = 5_000_000;

const PERIOD: Duration = Duration::from_secs(1);

/// The most bytes of requests that wait for the intake.
const OUTBOX_BYTES: usize = 16 << 20;

/// Sends to the logs intake.
pub(crate) struct IntakeSink {
    intake: IntakeClient,
    buffer: Arc<Buffer>,
    account: Arc<Account>,
    /// What the last request had no room for.
    rest: Block,
    outbox: Outbox,
}

/// Has nowhere to send to.
pub(crate) struct Idle;

impl IntakeSink {
    pub(crate) fn new(intake: IntakeClient, buffer: Arc<Buffer>, account: Arc<Account>) -> Self {
        Self {
            intake,
            buffer,
            outbox: Outbox::new(OUTBOX_BYTES, Arc::clone(&account)),
            account,
            rest: Block::default(),
        }
    }

    /// What waits, up to one full request.
    fn next_payload(&mut self) -> Option<Payload> {
        let mut body = vec![b'['];
        let mut entries = 0;
        loop {
            if self.rest.entries == 0 {
                match self.buffer.pop() {
                    Some(block) => self.rest = block,
                    None => break,
                }
            }
            let moved = move_entries(&mut self.rest, &mut body, MAX_ENTRIES - entries);
            entries += moved;
            if moved == 0 {
                break;
            }
        }
        if entries == 0 {
            return None;
        }
        // In place of the last comma.
        if let Some(last) = body.last_mut() {
            *last = b']';
        }
        self.account.queued(-(entries as i64));
        Some(Payload {
            body,
            headers: vec![("Content-Type", "application/json".to_owned())],
            items: entries,
        })
    }
}

/// Moves the first entries of `block` to the end of `body`, a comma after each: as many as the limits allow.
fn move_entries(block: &mut Block, body: &mut Vec<u8>, most: u64) -> u64 {
    let start = body.len();
    let mut moved = 0;
    let lines = block.lines.split_inclusive(|byte| *byte == b'\n');
    for line in lines.take(usize::try_from(most).unwrap_or(usize::MAX)) {
        if body.len() + line.len() > MAX_BYTES {
            break;
        }
        body.extend_from_slice(line);
        if let Some(newline) = body.last_mut() {
            *newline = b',';
        }
        moved += 1;
    }
    block.lines.drain(..body.len() - start);
    block.entries -= moved;
    moved
}

impl Signal for IntakeSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        self.buffer.collect();
        // One request at a time, so that a fast producer finds room in the buffer while the intake is busy.
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
        self.account.queued(-(self.rest.entries as i64));
        self.account
            .drop_items(DropReason::Shutdown, self.rest.entries);
        self.rest = Block::default();
        self.buffer.close();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn block(sizes: &[usize]) -> Block {
        let lines = sizes.iter().flat_map(|size| {
            let line = "x".repeat(size - 1);
            (line + "\n").into_bytes()
        });
        Block {
            lines: lines.collect(),
            entries: sizes.len() as u64,
        }
    }

    #[test]
    fn a_request_is_filled_to_the_last_byte_and_not_beyond() {
        let mut body = vec![b'['];
        let mut waiting = block(&[3_000_000, 1_999_999, 1]);
        assert_eq!(move_entries(&mut waiting, &mut body, MAX_ENTRIES), 2);
        assert_eq!((body.len(), waiting.entries), (MAX_BYTES, 1));
        let mut body = vec![b'['];
        let mut waiting = block(&[3_000_000, 2_000_000]);
        assert_eq!(move_entries(&mut waiting, &mut body, MAX_ENTRIES), 1);
        assert_eq!((body.len(), waiting.entries), (3_000_001, 1));
        assert_eq!(waiting.lines.len(), 2_000_000);
    }

    #[test]
    fn a_request_takes_as_many_entries_as_it_may() {
        let mut body = Vec::new();
        let mut waiting = block(&[2, 2, 2]);
        assert_eq!(move_entries(&mut waiting, &mut body, 2), 2);
        assert_eq!(body, b"x,x,");
        assert_eq!(move_entries(&mut waiting, &mut body, 0), 0);
        assert_eq!(waiting.lines, b"x\n");
    }
}
