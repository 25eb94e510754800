//! The worker's half for receivers of lines: the standard output, a file, or the agent's log port. Each entry is
//! a line of JSON.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_transport::{Account, DropReason, Pass, Signal, diagnostics};

use crate::buffer::{Block, Buffer};
use crate::destination::{Destination, Written};

const PERIOD: Duration = Duration::from_secs(1);

/// Writes lines.
pub(crate) struct LinesSink {
    destination: Destination,
    buffer: Arc<Buffer>,
    account: Arc<Account>,
    /// What is being written. Its entries are those that are not written to their ends.
    rest: Block,
    /// How many bytes of it are written.
    written: usize,
}

impl LinesSink {
    pub(crate) fn new(
        destination: Destination,
        buffer: Arc<Buffer>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            destination,
            buffer,
            account,
            rest: Block::default(),
            written: 0,
        }
    }

    /// Writes what waits. Whether that was all.
    fn write(&mut self, deadline: Instant) -> io::Result<bool> {
        if self.destination.open(deadline)? {
            self.rewind();
        }
        while self.rest.entries > 0 || self.next_block() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.account.request(false);
            let lines = &self.rest.lines[self.written..];
            let written = self.destination.write(lines, deadline)?;
            self.advance(&written);
        }
        self.destination.flush()?;
        Ok(true)
    }

    fn next_block(&mut self) -> bool {
        let next = self.buffer.pop().unwrap_or_default();
        self.written = 0;
        self.buffer.give_back(mem::replace(&mut self.rest, next));
        self.rest.entries > 0
    }

    /// Counts the entries whose ends were reached.
    fn advance(&mut self, written: &Written) {
        let (Written::Sent(bytes) | Written::TooLarge(bytes)) = *written;
        let passed = &self.rest.lines[self.written..][..bytes];
        let ends = passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.written += bytes;
        self.rest.entries -= ends;
        self.account.queued(-(ends as i64));
        match written {
            Written::Sent(_) => self.account.deliver(ends, bytes),
            Written::TooLarge(_) => self.account.drop_items(DropReason::TooLarge, ends),
        }
    }

    /// Goes back to the beginning of a line: who reads here has not seen it.
    fn rewind(&mut self) {
        let passed = &self.rest.lines[..self.written];
        let end = passed.iter().rposition(|byte| *byte == b'\n');
        self.written = end.map_or(0, |end| end + 1);
    }
}

impl Signal for LinesSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        self.buffer.collect();
        // A connection that was idle may be gone: one more try on a fresh one.
        let outcome = self.write(pass.deadline);
        match outcome.or_else(|_| self.write(pass.deadline)) {
            Ok(true) => None,
            Ok(false) => Some(Instant::now()),
            Err(error) => {
                let error = format!("can't write logs to {}: {error}", self.destination);
                diagnostics::warn("logs can't be written", || error.clone());
                self.account.error(error);
                None
            }
        }
    }

    fn close(&mut self) {
        self.account.queued(-(self.rest.entries as i64));
        self.account
            .drop_items(DropReason::Shutdown, self.rest.entries);
        self.rest = Block::default();
        self.written = 0;
        self.buffer.close();
    }
}
