//! Traces as trees, with a time line for each span.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::text::{self, WIDTH};
use crate::received::Received;
use crate::trace::Span;

/// Most traces shown, the newest.
const MAX_TRACES: usize = 10;
/// Most spans shown of one trace.
const MAX_SPANS: usize = 60;
/// Columns of the tree with names.
const TREE_WIDTH: usize = 66;
/// Columns of the time line.
const LINE_WIDTH: usize = 30;

/// The trace id in short: the last 8 of its 32 hexadecimal digits.
pub(super) fn short_id(low_half: u64) -> String {
    format!("{:08x}", low_half as u32)
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let traces = by_trace(received);
    let spans = received.spans().count();
    let errors = received.spans().filter(|span| span.error != 0).count();
    let detail = format!(
        "{}, {}, {errors} with an error",
        text::counted(traces.len(), "trace", "traces"),
        text::counted(spans, "span", "spans"),
    );
    text::heading(f, "Traces", &detail)?;
    let left_out = traces.len().saturating_sub(MAX_TRACES);
    if left_out > 0 {
        writeln!(f, "  … {left_out} older ones left out")?;
    }
    for spans in &traces[left_out..] {
        Tree::new(spans).write(f)?;
        writeln!(f)?;
    }
    Ok(())
}

/// Spans grouped by trace, the traces in order of arrival. One trace may have come in several chunks.
fn by_trace(received: &Received) -> Vec<Vec<&Span>> {
    let mut traces: Vec<Vec<&Span>> = Vec::new();
    let mut places: BTreeMap<u128, usize> = BTreeMap::new();
    for span in received.spans() {
        let place = *places.entry(span.trace_id_128()).or_insert_with(|| {
            traces.push(Vec::new());
            traces.len() - 1
        });
        traces[place].push(span);
    }
    traces
}

/// One trace, ready to be drawn.
struct Tree<'a> {
    spans: &'a [&'a Span],
    children: BTreeMap<u64, Vec<&'a Span>>,
    start: i64,
    end: i64,
}

impl<'a> Tree<'a> {
    fn new(spans: &'a [&'a Span]) -> Self {
        let mut children: BTreeMap<u64, Vec<&Span>> = BTreeMap::new();
        for span in spans {
            children.entry(span.parent_id).or_default().push(span);
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|span| span.start_ns);
        }
        let ends = spans
            .iter()
            .map(|span| span.start_ns.saturating_add(span.duration_ns));
        Self {
            spans,
            children,
            start: spans.iter().map(|span| span.start_ns).min().unwrap_or(0),
            end: ends.max().unwrap_or(0),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: HashSet<u64> = self.spans.iter().map(|span| span.span_id).collect();
        let mut roots: Vec<_> = self
            .spans
            .iter()
            .filter(|span| !ids.contains(&span.parent_id))
            .collect();
        roots.sort_by_key(|span| span.start_ns);
        self.write_title(f)?;
        let mut drawn = HashSet::new();
        // Spans that are each other's parents hang below no root: they are drawn as roots at the end.
        for span in roots.into_iter().chain(self.spans) {
            self.write_span(f, span, None, &mut drawn)?;
        }
        match self.spans.len().saturating_sub(MAX_SPANS) {
            0 => Ok(()),
            hidden => writeln!(f, "    … {hidden} more spans"),
        }
    }

    fn write_title(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = |key: &str| self.spans.iter().find_map(|span| span.tag(key));
        let mut facts = vec![
            text::counted(self.spans.len(), "span", "spans"),
            text::duration((self.end - self.start) as f64),
        ];
        for key in ["env", "version"] {
            facts.extend(tag(key).map(|value| format!("{key} {value}")));
        }
        facts.extend(tag("_sampling_priority_v1").map(|value| format!("priority {value}")));
        let id = self.spans.first().map_or(0, |span| span.trace_id);
        writeln!(f, "● {}  {}", text_id(id), facts.join(" · "))
    }

    /// Draws a span and those below it. `above` is what stands before it on its line and before its children on theirs.
    fn write_span(
        &self,
        f: &mut fmt::Formatter<'_>,
        span: &'a Span,
        above: Option<(&Span, &str, bool)>,
        drawn: &mut HashSet<u64>,
    ) -> fmt::Result {
        if drawn.len() >= MAX_SPANS || !drawn.insert(span.span_id) {
            return Ok(());
        }
        let none = Vec::new();
        let children = self.children.get(&span.span_id).unwrap_or(&none);
        let (branch, below) = match above {
            None => ("  ".to_owned(), "  ".to_owned()),
            Some((_, before, true)) => (format!("{before}└─ "), format!("{before}   ")),
            Some((_, before, false)) => (format!("{before}├─ "), format!("{before}│  ")),
        };
        let mark = if span.error != 0 { "✗ " } else { "" };
        let parent = above.map(|(parent, ..)| parent);
        let name = text::shorten(
            &format!("{branch}{mark}{}", title(span, parent)),
            TREE_WIDTH,
        );
        let duration = text::duration(span.duration_ns as f64);
        let name = text::pad(&name, TREE_WIDTH);
        writeln!(f, "{name} {duration:>9} ▕{}▏", self.time_line(span))?;
        let trunk = if children.is_empty() { "   " } else { "│  " };
        for line in details(span, WIDTH - text::width(&below) - 3) {
            writeln!(f, "{below}{trunk}{line}")?;
        }
        for (at, child) in children.iter().enumerate() {
            let last = at + 1 == children.len();
            self.write_span(f, child, Some((span, &below, last)), drawn)?;
        }
        Ok(())
    }

    /// Where the span lies within its trace.
    fn time_line(&self, span: &Span) -> String {
        let all = (self.end - self.start).max(1) as f64;
        let column = |time: i64| {
            let share = (time - self.start) as f64 / all;
            (share * LINE_WIDTH as f64).round() as usize
        };
        let from = column(span.start_ns).min(LINE_WIDTH - 1);
        let to = column(span.start_ns.saturating_add(span.duration_ns)).min(LINE_WIDTH);
        let length = to.saturating_sub(from);
        let line = match length {
            0 => "▏".to_owned(),
            length => "█".repeat(length),
        };
        text::pad(&format!("{}{line}", " ".repeat(from)), LINE_WIDTH)
    }
}

fn text_id(low_half: u64) -> String {
    format!("trace {}", short_id(low_half))
}

/// Name, resource if it says more, service if it changes, type.
fn title(span: &Span, parent: Option<&Span>) -> String {
    let mut title = span.name.clone();
    if span.resource != span.name {
        title.push_str("  ");
        title.push_str(&span.resource);
    }
    if parent.is_none_or(|parent| parent.service != span.service) {
        title.push_str(&format!("  [{}]", span.service));
    }
    title
}

/// Tags that the tracer sets on its own account; those of interest are shown elsewhere.
const QUIET_TAGS: [&str; 7] = [
    "env",
    "events",
    "language",
    "process_id",
    "runtime-id",
    "version",
    "_sampling_priority_v1",
];

/// The error, then the tags, in lines of at most `width` columns.
fn details(span: &Span, width: usize) -> Vec<String> {
    let is_error = |key: &str| ["error.type", "error.message", "error.stack"].contains(&key);
    let is_quiet = |key: &str| QUIET_TAGS.contains(&key) || key.starts_with("_dd.");
    let error = ["error.type", "error.message"].map(|key| span.meta.get(key).cloned());
    let error: Vec<String> = error.into_iter().flatten().collect();
    let mut lines = Vec::new();
    if !error.is_empty() {
        lines.push(text::shorten(&format!("✗ {}", error.join(": ")), width));
    }
    let texts = span.meta.iter().map(|(key, value)| (key, value.clone()));
    let numbers = span
        .metrics
        .iter()
        .map(|(key, value)| (key, text::number(*value)));
    let tags = texts
        .chain(numbers)
        .filter(|(key, _)| !is_quiet(key) && !is_error(key))
        .map(|(key, value)| format!("{key}={value}"));
    let events = event_names(span)
        .into_iter()
        .map(|name| format!("◆ {name}"));
    let links = span
        .span_links
        .iter()
        .map(|link| format!("↪ {}", text_id(link.trace_id)));
    lines.extend(text::wrap(tags.chain(events).chain(links), width));
    lines
}

/// Names of the span's events, which come typed or as JSON in the tag `events`.
fn event_names(span: &Span) -> Vec<String> {
    let typed = span.span_events.iter().map(|event| event.name.clone());
    let json = span.meta.get("events").map(String::as_str).unwrap_or("[]");
    let json: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let named = json
        .iter()
        .filter_map(|event| Some(event["name"].as_str()?.to_owned()));
    typed.chain(named).collect()
}
