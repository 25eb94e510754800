//! Requests to the metrics intake: lists of entries, packed up to its limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_transport::{Account, Answer, Headers, Outbox, Part, Pass, Payload, SendError};

/// The most bytes of one request as sent (public API reference, "Submit metrics"). Bodies keep it before they are
/// compressed, and so keep the limit of 5,242,880 bytes unpacked as well.
const MAX_BYTES: usize = 512_000;

/// The most bytes of requests of one kind that wait for the intake.
const OUTBOX_BYTES: usize = 8 << 20;

/// Requests of one path: the one that is being written, and those that wait.
#[derive(Debug)]
pub(crate) struct Bodies {
    list: JsonList,
    outbox: Outbox,
}

impl Bodies {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self {
            list: JsonList::default(),
            outbox: Outbox::new(OUTBOX_BYTES, account),
        }
    }

    /// Adds an entry, as JSON, that stands for `items` items of the account.
    pub(crate) fn push(&mut self, entry: &str, items: u64) {
        if !self.list.has_room(entry.len()) {
            self.close_list();
        }
        self.list.push(entry.as_bytes(), items);
    }

    /// Delivers what was added, as [`Outbox::deliver`] does.
    pub(crate) fn deliver(
        &mut self,
        pass: &Pass,
        limit: Duration,
        send: impl FnMut(&mut Payload, Duration) -> Result<Answer, SendError>,
    ) -> Option<Instant> {
        self.close_list();
        self.outbox.deliver(pass, limit, send)
    }

    /// Drops everything.
    pub(crate) fn close(&mut self) {
        self.close_list();
        self.outbox.close();
    }

    fn close_list(&mut self) {
        let list = std::mem::take(&mut self.list);
        if !list.entries.is_empty() {
            self.outbox.push(list.close());
        }
    }
}

const START: &[u8] = br#"{"series":["#;
const END: &[u8] = b"]}";

/// A request body that is being written.
#[derive(Debug, Default)]
struct JsonList {
    body: Vec<u8>,
    entries: Vec<Part>,
}

impl JsonList {
    fn has_room(&self, entry: usize) -> bool {
        self.entries.is_empty() || self.body.len() + 1 + entry + END.len() <= MAX_BYTES
    }

    fn push(&mut self, entry: &[u8], items: u64) {
        let before = if self.entries.is_empty() { START } else { b"," };
        self.body.extend_from_slice(before);
        let start = self.body.len();
        self.body.extend_from_slice(entry);
        let bytes = start..self.body.len();
        self.entries.push(Part { bytes, items });
    }

    fn close(mut self) -> Payload {
        self.body.extend_from_slice(END);
        let headers: Headers = vec![("Content-Type", "application/json".to_owned())];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_filled_to_the_last_byte() {
        let mut list = JsonList::default();
        list.push(b"1", 1);
        let room = MAX_BYTES - START.len() - 1 - END.len() - 1;
        assert!(list.has_room(room));
        assert!(!list.has_room(room + 1));
        list.push(&vec![b'2'; room], 1);
        assert_eq!(list.close().bytes(), MAX_BYTES);
    }
}
