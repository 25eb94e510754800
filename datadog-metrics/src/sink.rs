//! The worker's half: takes what is owed, packs its lines into datagrams, and sends them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_transport::{
    DropReason, Occasion, Pass, Signal, SignalKind, StatsdError, StatsdSocket,
};

use crate::context::{Context, Kind};
use crate::encode;
use crate::owed::Owed;
use crate::shared::{LONGEST_LINE, Shared};
use crate::telemetry::{News, Tally, Telemetry};
use crate::tracer_health;

/// Divides the 10 seconds that the agent sums up (datadog-go: `statsd/options.go`).
const PERIOD: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct MetricsSink {
    shared: Arc<Shared>,
    socket: StatsdSocket,
    datagram: Datagram,
    /// Lines out of the queue that are not sent yet.
    lines: VecDeque<String>,
    telemetry: Telemetry,
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
            telemetry: Telemetry::new(&shared.template, config.dogstatsd()),
            shared,
            socket: StatsdSocket::new(config.dogstatsd()),
            datagram: Datagram::default(),
            lines: VecDeque::new(),
            failing: false,
        }
    }

    /// Sends everything owed, as far as the server takes it. The rest stays owed.
    fn send_all(&mut self, pass: &Pass) -> Result<(), Stopped> {
        self.socket.forget_replaced();
        let shared = Arc::clone(&self.shared);
        for (context, owed) in shared.owed() {
            self.add(&context, owed, pass)?;
            if Instant::now() >= pass.deadline {
                self.send(pass)?;
                return Err(Stopped);
            }
        }
        self.send(pass)?;
        self.send_lines(pass)?;
        self.tell(pass)
    }

    /// Sends the client's own metrics, which are in no account.
    fn tell(&mut self, pass: &Pass) -> Result<(), Stopped> {
        let now = Instant::now();
        if !self.telemetry.is_due(now) {
            return Ok(());
        }
        let dropped = self.shared.account.snapshot().dropped.total();
        let traces = self.shared.accounts.signal(SignalKind::Traces);
        let news = self.telemetry.news(
            &self.shared.tally.figures(dropped),
            &traces.map_or_else(Vec::new, |traces| tracer_health::figures(&traces)),
        );
        let limit = self.socket.datagram_bytes();
        let mut rest = news.as_slice();
        while !rest.is_empty() {
            let mut datagram = String::new();
            let mut count = 0;
            for News { line, .. } in rest {
                if count > 0 && datagram.len() + line.len() > limit {
                    break;
                }
                datagram.push_str(line);
                count += 1;
            }
            let (packed, left) = rest.split_at(count);
            self.transmit(datagram.as_bytes(), pass)
                .map_err(|_| Stopped)?;
            packed.iter().for_each(|news| self.telemetry.told(news));
            rest = left;
        }
        self.telemetry.rest(now);
        Ok(())
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
                Kind::Set => {
                    let Some((member, part)) = owed.split_first_member() else {
                        break;
                    };
                    encode::write_member(&mut line, context, &member);
                    part
                }
            };
            if line.len() > LONGEST_LINE {
                self.shared.give_up(DropReason::TooLarge, part.items);
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
        let lines = std::mem::take(&mut self.datagram.lines);
        let result = self.transmit(lines.as_bytes(), pass);
        let owed = self.datagram.owed.drain(..);
        match result {
            Ok(()) => {
                let items = owed.map(|(_, owed)| owed.items).sum::<u64>();
                self.shared.account.queued(-(items as i64));
                self.shared.account.deliver(items, lines.len());
                Ok(())
            }
            Err(StatsdError::TooLarge) => {
                let items = owed.map(|(_, owed)| owed.items).sum();
                self.shared.give_up(DropReason::TooLarge, items);
                Ok(())
            }
            Err(_) => {
                owed.for_each(|(context, owed)| context.give_back(owed));
                Err(Stopped)
            }
        }
    }

    /// Sends the lines that are not summed up, in the order they came.
    fn send_lines(&mut self, pass: &Pass) -> Result<(), Stopped> {
        let limit = self.socket.datagram_bytes();
        loop {
            let mut datagram = String::new();
            let mut count = 0;
            while let Some(line) = self.line(count) {
                if count > 0 && datagram.len() + line.len() > limit {
                    break;
                }
                datagram.push_str(line);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            match self.transmit(datagram.as_bytes(), pass) {
                Ok(()) => self.shared.account.deliver(count as u64, datagram.len()),
                Err(StatsdError::TooLarge) => {
                    let account = &self.shared.account;
                    account.drop_items(DropReason::TooLarge, count as u64);
                }
                Err(_) => return Err(Stopped),
            }
            self.lines.drain(..count);
            self.shared.account.pending(-(count as i64));
            if Instant::now() >= pass.deadline {
                return Err(Stopped);
            }
        }
    }

    /// The line at this place, from the queue if need be.
    fn line(&mut self, at: usize) -> Option<&str> {
        if self.lines.len() <= at
            && let Some((line, _)) = self.shared.lines.pop()
        {
            self.shared.account.pending(1);
            self.lines.push_back(line);
        }
        self.lines.get(at).map(String::as_str)
    }

    /// Sends one datagram. At the shutdown a server whose buffer is full is tried until the deadline.
    fn transmit(&mut self, datagram: &[u8], pass: &Pass) -> Result<(), StatsdError> {
        loop {
            self.shared.account.request(self.failing);
            let result = self.socket.send(datagram);
            self.failing = result.is_err();
            let Err(error) = result else {
                Tally::add(&self.shared.tally.packets_sent, 1);
                Tally::add(&self.shared.tally.bytes_sent, datagram.len() as u64);
                return Ok(());
            };
            self.shared.account.error(error.to_string());
            let busy = matches!(error, StatsdError::Full);
            let insist = pass.occasion == Occasion::Shutdown && Instant::now() < pass.deadline;
            if !(busy && insist) {
                return Err(error);
            }
        }
    }
}

impl Signal for MetricsSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        if self.send_all(pass).is_err() {
            // What stays owed is tried again in the next period. Counted, it is safe from cells that wrap.
            self.shared.count();
        }
        self.shared.registry.evict();
        None
    }

    fn close(&mut self) {
        self.shared.close();
        self.shared.count();
        let lines = self.lines.drain(..).len();
        self.shared.account.pending(-(lines as i64));
        self.shared
            .account
            .drop_items(DropReason::Shutdown, lines as u64);
    }
}
