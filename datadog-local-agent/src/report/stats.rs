//! Trace statistics as a table, the same group of several buckets in one row.

use std::collections::BTreeMap;
use std::fmt;

use super::text::{self, Table};
use crate::received::Received;
use crate::stats::StatsGroup;

/// Most rows shown, those with the most hits.
const MAX_ROWS: usize = 20;

#[derive(Default)]
struct Row {
    hits: u64,
    errors: u64,
    duration_ns: u64,
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let mut rows: BTreeMap<[&str; 3], Row> = BTreeMap::new();
    for group in received.stats_groups() {
        let StatsGroup { key, .. } = group;
        let row = rows
            .entry([&key.service, &key.name, &key.resource])
            .or_default();
        row.hits += group.hits;
        row.errors += group.errors;
        row.duration_ns += group.duration_ns;
    }
    let detail = text::counted(rows.len(), "group", "groups");
    text::heading(f, "Trace statistics", &detail)?;
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.hits));
    let left_out = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    let mut table = Table::aligned_right(&[3, 4, 5]);
    for ([service, name, resource], row) in rows {
        table.row([
            text::shorten(service, 20),
            text::shorten(name, 25),
            text::shorten(resource, 40),
            text::counted(row.hits as usize, "hit", "hits"),
            text::counted(row.errors as usize, "error", "errors"),
            format!(
                "{} each",
                text::duration(row.duration_ns as f64 / row.hits as f64)
            ),
        ]);
    }
    table.write(f)?;
    match left_out {
        0 => Ok(()),
        left_out => writeln!(f, "  … {left_out} more groups"),
    }
}
