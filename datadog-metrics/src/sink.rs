//! The worker's half: takes what is owed, packs its lines into datagrams, and sends them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_transport::{DropReason, Occasion, Pass, Signal, StatsdError, StatsdSocket};

use crate::context::{Context, Kind, Owed};
use crate::encode;
use crate::shared::Shared;

/// Divides the 10 seconds that the agent sums up (datadog-go: `statsd/options.go`).
const PERIOD: Duration = Duration::from_secs(2);

/// The longest datagram that the server reads whole (datadog-agent: `dogstatsd_buffer_size`). A single line may need
/// more than [`StatsdSocket::datagram_bytes`].
const LONGEST_LINE: usize = 8192;

#[derive(Debug)]
pub(crate) struct MetricsSink {
    shared: Arc<Shared>,
    socket: StatsdSocket,
    datagram: Datagram,
    /// Whether the last datagram was not taken.
    failing: bool,
}

/// Whole lines, with what they deliver.
#[derive(Debug, Default)]
struct Datagram {
    lines: String,
    owed: Vec<(Arc<Context>, Owed)>,
}

/// The server takes no more for now.
struct Stopped;

impl MetricsSink {
    pub(crate) fn new(config: &DDConfig, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            socket: StatsdSocket::new(config.dogstatsd()),
            datagram: Datagram::default(),
            failing: false,
        }
    }

    /// Sends everything owed, as far as the server takes it. The rest stays owed.
    fn send_all(&mut self, pass: &Pass) -> Result<(), Stopped> {
        self.socket.forget_replaced();
        for context in self.shared.registry.all() {
            if let Some(owed) = context.take() {
                self.add(&context, owed, pass)?;
            }
        }
        self.send(pass)
    }

    fn add(&mut self, context: &Arc<Context>, mut owed: Owed, pass: &Pass) -> Result<(), Stopped> {
        let limit = self.socket.datagram_bytes();
        let mut line = String::new();
        while owed.items > 0 {
            line.clear();
            let part = match context.kind {
                Kind::Count => {
                    encode::write_count(&mut line, context, owed.sum);
                    std::mem::take(&mut owed)
                }
                Kind::Gauge => {
                    encode::write_gauge(&mut line, context, context.last());
                    std::mem::take(&mut owed)
                }
                Kind::Histogram | Kind::Distribution | Kind::Timing => {
                    encode::write_samples(&mut line, context, &mut owed, limit)
                }
            };
            if line.len() > LONGEST_LINE {
                self.give_up(DropReason::TooLarge, part.items);
                continue;
            }
            if self.datagram.lines.len() + line.len() > limit
                && let Err(stopped) = self.send(pass)
            {
                context.give_back(part);
                context.give_back(owed);
                return Err(stopped);
            }
            self.datagram.lines.push_str(&line);
            self.datagram.owed.push((Arc::clone(context), part));
        }
        Ok(())
    }

    /// Sends the datagram that was filled, if there is one.
    fn send(&mut self, pass: &Pass) -> Result<(), Stopped> {
        if self.datagram.lines.is_empty() {
            return Ok(());
        }
        let result = loop {
            self.shared.account.request(self.failing);
            let result = self.socket.send(self.datagram.lines.as_bytes());
            self.failing = result.is_err();
            let busy = matches!(result, Err(StatsdError::Full));
            let insist = pass.occasion == Occasion::Shutdown && Instant::now() < pass.deadline;
            if !(busy && insist) {
                break result;
            }
        };
        let bytes = self.datagram.lines.len();
        self.datagram.lines.clear();
        let owed = self.datagram.owed.drain(..);
        match result {
            Ok(()) => {
                let items = owed.map(|(_, owed)| owed.items).sum::<u64>();
                self.shared.account.queued(-(items as i64));
                self.shared.account.deliver(items, bytes);
                Ok(())
            }
            Err(StatsdError::TooLarge) => {
                let items = owed.map(|(_, owed)| owed.items).sum();
                self.give_up(DropReason::TooLarge, items);
                Ok(())
            }
            Err(error) => {
                owed.for_each(|(context, owed)| context.give_back(owed));
                self.shared.account.error(error.to_string());
                Err(Stopped)
            }
        }
    }

    fn give_up(&self, reason: DropReason, items: u64) {
        self.shared.account.queued(-(items as i64));
        self.shared.account.drop_items(reason, items);
    }
}

impl Signal for MetricsSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        self.shared.count();
        // What stays owed is tried again in the next period.
        let _ = self.send_all(pass);
        self.shared.registry.evict();
        None
    }

    fn close(&mut self) {
        self.shared.close();
        self.shared.count();
    }
}
