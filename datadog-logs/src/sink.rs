//! The worker's half: takes finished entries and posts them to the intake.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_transport::{
    Account, ContentEncoding, DropReason, IntakeClient, Outbox, Part, Pass, Payload, Signal,
};

use crate::buffer::{Block, Buffer};

/// Public API reference, "Send logs".
const PATH: &str = "/api/v2/logs";

/// The most entries of one request (public API reference, "Send logs").
const MAX_ENTRIES: usize = 1000;

/// The most bytes of one request (public API reference, "Send logs").
const MAX_BYTES: usize = 5_000_000;

const PERIOD: Duration = Duration::from_secs(1);

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
    pub(crate) fn new(
        intake: IntakeClient,
        buffer: Arc<Buffer>,
        outbox_bytes: usize,
        account: Arc<Account>,
    ) -> Self {
        Self {
            intake,
            buffer,
            outbox: Outbox::new(outbox_bytes, Arc::clone(&account)),
            account,
            rest: Block::default(),
        }
    }

    /// What waits, up to one full request.
    fn next_payload(&mut self) -> Option<Payload> {
        let mut list = JsonList::default();
        loop {
            if self.rest.entries == 0 {
                match self.buffer.pop() {
                    Some(block) => {
                        let empty = mem::replace(&mut self.rest, block);
                        self.buffer.give_back(empty);
                    }
                    None => break,
                }
            }
            if !list.fill(&mut self.rest) {
                break;
            }
        }
        (!list.entries.is_empty()).then(|| list.close())
    }
}

/// A request body that is being written: a JSON array of entries.
#[derive(Default)]
struct JsonList {
    body: Vec<u8>,
    entries: Vec<Part>,
}

impl JsonList {
    /// Moves entries from the beginning of `block`. Whether all of them fitted.
    fn fill(&mut self, block: &mut Block) -> bool {
        let mut moved = 0;
        for line in block.lines.split_inclusive(|byte| *byte == b'\n') {
            // The bracket or comma before it and the bracket at the end take as much as the newline, and one more.
            let full =
                self.entries.len() == MAX_ENTRIES || self.body.len() + line.len() >= MAX_BYTES;
            if full {
                break;
            }
            self.push(&line[..line.len() - 1]);
            moved += line.len();
            block.entries -= 1;
        }
        block.lines.drain(..moved);
        block.entries == 0
    }

    fn push(&mut self, entry: &[u8]) {
        self.body
            .push(if self.entries.is_empty() { b'[' } else { b',' });
        let start = self.body.len();
        self.body.extend_from_slice(entry);
        self.entries.push(Part {
            bytes: start..self.body.len(),
            items: 1,
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
    entries.iter().for_each(|(entry, _)| list.push(entry));
    list.close()
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
            if let Some(payload) = payload {
                let entries = payload.items();
                self.outbox.push(payload);
                // Not before: meanwhile they would be nowhere.
                self.account.queued(-(entries as i64));
            }
            let intake = &self.intake;
            let again = self.outbox.deliver(pass, intake.limit(), |payload, limit| {
                intake.post_compressed(PATH, payload, ContentEncoding::Gzip, limit)
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
            ..Block::default()
        }
    }

    #[test]
    fn a_request_is_filled_to_the_last_byte_and_not_beyond() {
        let mut list = JsonList::default();
        let mut waiting = block(&[3_000_000, 1_999_999, 1]);
        assert!(!list.fill(&mut waiting));
        assert_eq!(waiting.lines, b"\n");
        assert_eq!(list.close().bytes(), MAX_BYTES);
        let mut list = JsonList::default();
        let mut waiting = block(&[3_000_000, 2_000_000]);
        assert!(!list.fill(&mut waiting));
        assert_eq!((waiting.entries, waiting.lines.len()), (1, 2_000_000));
        assert_eq!(list.close().bytes(), 3_000_001);
    }

    #[test]
    fn a_request_takes_as_many_entries_as_it_may() {
        let mut list = JsonList::default();
        let mut waiting = block(&[2; 1001]);
        assert!(!list.fill(&mut waiting));
        assert_eq!((list.entries.len(), waiting.entries), (1000, 1));
        let mut list = JsonList::default();
        assert!(list.fill(&mut waiting));
        assert_eq!(
            (list.body.as_slice(), waiting.lines.len()),
            (b"[x".as_slice(), 0)
        );
    }
}
