//! Log entries, one line each, with the short id of their trace.

use std::fmt;

use serde_json::{Map, Value};

use super::text::{self, WIDTH};
use super::traces::short_id;
use crate::logs::LogEntry;
use crate::received::Received;

/// Most entries shown, the newest.
const MAX_ENTRIES: usize = 50;

pub(super) fn write(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let logs = received.logs();
    let in_trace = logs.iter().filter(|log| log.trace_id().is_some()).count();
    let detail = format!(
        "{}, {in_trace} within a trace",
        text::counted(logs.len(), "entry", "entries")
    );
    text::heading(f, "Logs", &detail)?;
    let shared = shared_facts(logs);
    if !shared.is_empty() {
        writeln!(f, "  all with {}", text::shorten(&shared.join(" · "), 100))?;
    }
    let left_out = logs.len().saturating_sub(MAX_ENTRIES);
    if left_out > 0 {
        writeln!(f, "  … {left_out} older ones left out")?;
    }
    for log in &logs[left_out..] {
        write_entry(f, log)?;
    }
    Ok(())
}

fn write_entry(f: &mut fmt::Formatter<'_>, log: &LogEntry) -> fmt::Result {
    let status = log.status.as_deref().unwrap_or("-");
    let mark = match status {
        "emergency" | "alert" | "critical" | "error" => "✗",
        "warn" | "warning" => "▲",
        _ => " ",
    };
    let trace = log.trace_id().map(short_id);
    let trace = trace.map_or_else(String::new, |id| format!("trace {id}"));
    let message = text::shorten(&log.message, WIDTH - 28);
    writeln!(f, "  {mark} {status:<7} {trace:<14}  {message}")?;
    let mut pieces = Vec::new();
    flatten("", &log.attributes, &mut pieces);
    for line in text::wrap(pieces, WIDTH - 28) {
        writeln!(f, "{:28}{line}", "")?;
    }
    Ok(())
}

/// Attributes as `path=value`, without the ids, which the line shows, and without stacks and times.
fn flatten(before: &str, fields: &Map<String, Value>, pieces: &mut Vec<String>) {
    for (name, value) in fields {
        let path = format!("{before}{name}");
        let quiet = path.starts_with("dd.")
            || ["timestamp", "date", "error.stack", "error.stack_trace"].contains(&path.as_str());
        match value {
            _ if quiet => {}
            Value::Object(inner) => flatten(&format!("{path}."), inner, pieces),
            Value::String(text) => pieces.push(format!("{path}={text}")),
            other => pieces.push(format!("{path}={other}")),
        }
    }
}

/// What all entries have in common.
fn shared_facts(logs: &[LogEntry]) -> Vec<String> {
    let shared = |name: &str, of: fn(&LogEntry) -> Option<&str>| {
        let first = logs.first().and_then(of)?;
        let same = logs.iter().all(|log| of(log) == Some(first));
        same.then(|| format!("{name} {first}"))
    };
    [
        shared("service", |log| log.service.as_deref()),
        shared("source", |log| log.ddsource.as_deref()),
        shared("host", |log| log.hostname.as_deref()),
        shared("tags", |log| log.ddtags.as_deref()),
    ]
    .into_iter()
    .flatten()
    .collect()
}
