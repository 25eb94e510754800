//! The human report: what arrived, as trees and tables.

mod logs;
mod metrics;
mod profiles;
mod stats;
mod text;
mod traces;

use std::collections::BTreeMap;
use std::fmt;

use crate::received::Received;
use text::Table;

/// Everything that an agent received, to be read by people: print it with `{}`.
///
/// Traces are trees with a time line; trace statistics, metrics, logs and the profiles' hottest functions are tables; the requests with their
/// answers and the refusals come last. A section with nothing in it is left out.
#[derive(Clone, Debug)]
pub struct Report {
    received: Received,
    lost_datagrams: u64,
}

impl Report {
    pub(crate) fn new(received: Received, lost_datagrams: u64) -> Self {
        Self {
            received,
            lost_datagrams,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = &self.received;
        if !received.traces().is_empty() {
            traces::write(f, received)?;
        }
        if !received.stats().is_empty() {
            stats::write(f, received)?;
            writeln!(f)?;
        }
        if !received.metrics().is_empty() {
            metrics::write(f, received)?;
            writeln!(f)?;
        }
        write_events(f, received)?;
        if !received.logs().is_empty() {
            logs::write(f, received)?;
            writeln!(f)?;
        }
        if !received.profiles().is_empty() {
            profiles::write(f, received)?;
            writeln!(f)?;
        }
        self.write_requests(f)?;
        write_refusals(f, received)
    }
}

impl Report {
    fn write_requests(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = &self.received;
        let detail = format!(
            "{} on {}, {} ({} lost)",
            text::counted(received.requests().len(), "request", "requests"),
            text::counted(received.connections() as usize, "connection", "connections"),
            text::counted(received.datagrams() as usize, "datagram", "datagrams"),
            self.lost_datagrams,
        );
        text::heading(f, "Requests", &detail)?;
        let mut groups: BTreeMap<(String, Option<u16>), (usize, usize)> = BTreeMap::new();
        for request in received.requests() {
            let line = format!("{} {}", request.method, request.route());
            let group = groups.entry((line, request.status)).or_default();
            group.0 += 1;
            group.1 += request.body.len();
        }
        let mut table = Table::aligned_right(&[1, 3]);
        for ((line, status), (count, bytes)) in groups {
            let status = status.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
            table.row([
                line,
                format!("{count} ×"),
                status,
                format!("{} bytes", text::number(bytes as f64)),
            ]);
        }
        table.write(f)
    }
}

fn write_events(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let (events, checks) = (received.events(), received.service_checks());
    if events.is_empty() && checks.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "{}, {}",
        text::counted(events.len(), "event", "events"),
        text::counted(checks.len(), "service check", "service checks"),
    );
    text::heading(f, "Events and service checks", &detail)?;
    let mut table = Table::default();
    for event in events {
        table.row([
            event
                .alert_type
                .clone()
                .unwrap_or_else(|| "info".to_owned()),
            text::shorten(&event.title, 40),
            text::shorten(&event.text, 50),
            text::shorten(&event.tags.join(" "), 40),
        ]);
    }
    for check in checks {
        table.row([
            check.status.to_string(),
            text::shorten(&check.name, 40),
            text::shorten(check.message.as_deref().unwrap_or_default(), 50),
            text::shorten(&check.tags.join(" "), 40),
        ]);
    }
    table.write(f)?;
    writeln!(f)
}

/// Most different refusals shown, the newest.
const MAX_REFUSALS: usize = 20;

fn write_refusals(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let refusals = received.refusals();
    if refusals.is_empty() {
        return writeln!(f, "  nothing was refused");
    }
    writeln!(f)?;
    let detail = text::counted(refusals.len(), "refusal", "refusals");
    text::heading(f, "Refused", &detail)?;
    let mut groups: Vec<(String, usize)> = Vec::new();
    for refusal in refusals.iter().map(ToString::to_string) {
        match groups.iter_mut().find(|(known, _)| *known == refusal) {
            Some((_, count)) => *count += 1,
            None => groups.push((refusal, 1)),
        }
    }
    let left_out = groups.len().saturating_sub(MAX_REFUSALS);
    if left_out > 0 {
        writeln!(f, "  … {left_out} older kinds left out")?;
    }
    for (refusal, count) in &groups[left_out..] {
        let times = match count {
            1 => String::new(),
            count => format!("{count} × "),
        };
        writeln!(f, "  ✗ {times}{refusal}")?;
    }
    Ok(())
}
