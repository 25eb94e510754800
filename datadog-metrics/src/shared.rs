//! What the callers' half and the worker's half of a client's metrics share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datadog_config::DDConfig;
use datadog_transport::{Account, Accounts, DropReason, Queue, Seat};

use crate::context::Context;
use crate::encode::Template;
use crate::owed::Owed;
use crate::rate::Rate;
use crate::registry::{Limits, Registry};
use crate::telemetry::Tally;

/// The longest datagram that the server reads whole (datadog-agent: `dogstatsd_buffer_size`). A single line may need
/// more than [`StatsdSocket::datagram_bytes`](datadog_transport::StatsdSocket::datagram_bytes).
pub(crate) const LONGEST_LINE: usize = 8192;

/// The most bytes of lines that wait for the worker.
const QUEUE_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) template: Template,
    pub(crate) account: Arc<Account>,
    /// Those of all signals of the client.
    pub(crate) accounts: Accounts,
    /// Lines that are not summed up: events, service checks, values of a certain time.
    pub(crate) lines: Queue<String>,
    pub(crate) tally: Tally,
    /// Whether the receiver can be told a sample rate.
    takes_rates: bool,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(config: &DDConfig, seat: Seat) -> Arc<Self> {
        let Seat {
            account,
            accounts,
            waker,
            ..
        } = seat;
        let shared = Arc::new(Self {
            registry: Registry::new(Limits::default(), Arc::clone(&account)),
            template: Template::new(config),
            lines: Queue::new(QUEUE_BYTES, Arc::clone(&account), waker),
            account,
            accounts,
            tally: Tally::default(),
            takes_rates: !config.metrics_agentless(),
            closed: AtomicBool::new(false),
        });
        // Callers count in cells of their own, so whoever reads the account has to look there first.
        let counted = Arc::downgrade(&shared);
        shared.account.refresh_with(move || {
            if let Some(shared) = counted.upgrade() {
                shared.count();
            }
        });
        shared
    }

    /// The rate where the receiver can be told of it.
    pub(crate) fn usable(&self, rate: Rate) -> Rate {
        if self.takes_rates { rate } else { Rate::ALL }
    }

    /// Takes a line for the worker; `None` stands for what makes none.
    pub(crate) fn send_line(&self, line: Option<String>) {
        let refused = match line {
            None => DropReason::Invalid,
            Some(line) if line.len() > LONGEST_LINE => DropReason::TooLarge,
            Some(line) => {
                let bytes = line.len();
                self.lines.push(line, 1, bytes);
                return;
            }
        };
        self.account.accept(1);
        self.account.drop_items(refused, 1);
    }

    /// Takes what is owed out of one context after the other. What is not taken stays owed.
    pub(crate) fn owed(&self) -> impl Iterator<Item = (Arc<Context>, Owed)> {
        self.registry.all().into_iter().filter_map(|context| {
            let (new, owed) = context.take();
            Tally::add(&self.tally.values[context.kind as usize], new);
            let owed = owed?;
            Tally::add(&self.tally.contexts[context.kind as usize], 1);
            Some((context, owed))
        })
    }

    /// Counts values that were owed as dropped.
    pub(crate) fn give_up(&self, reason: DropReason, items: u64) {
        self.account.queued(-(items as i64));
        self.account.drop_items(reason, items);
    }

    /// A number that no other client or namespace of the process has.
    pub(crate) fn new_scope(&self) -> u64 {
        static SCOPES: AtomicU64 = AtomicU64::new(0);
        SCOPES.fetch_add(1, Ordering::Relaxed)
    }

    /// Brings the account up to date.
    pub(crate) fn count(&self) {
        if !self.registry.home().is_here() {
            return;
        }
        let closed = self.closed.load(Ordering::Acquire);
        for context in self.registry.all() {
            let new = context.count(closed);
            Tally::add(&self.tally.values[context.kind as usize], new);
        }
    }

    /// From now on every value is dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.lines.close();
    }
}
