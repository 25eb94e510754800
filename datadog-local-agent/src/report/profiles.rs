//! Profiles as tables of the hottest functions, and of the requests that the time went to.

use std::collections::BTreeMap;
use std::fmt;

use super::text::{self, Table};
use crate::pprof::{Label, Pprof};
use crate::profile::Profile;
use crate::received::Received;

/// Most rows of a table.
const MAX_ROWS: usize = 12;
/// Columns of a bar.
const BAR_WIDTH: usize = 20;

pub(super) fn write(f: &mut fmt::Formatter<'_>, received: &Received) -> fmt::Result {
    let profiles = received.profiles();
    let detail = text::counted(profiles.len(), "upload", "uploads");
    text::heading(f, "Profiles", &detail)?;
    for profile in profiles {
        let pprofs = profile
            .attachments
            .iter()
            .filter_map(|own| Some((&own.name, own.pprof.as_ref()?)));
        for (name, pprof) in pprofs {
            write_title(f, profile, name, pprof)?;
            let Some(sample_type) = pprof.sample_types.first() else {
                continue;
            };
            write_functions(f, pprof, &sample_type.name)?;
            write_requests(f, received, pprof, &sample_type.name)?;
        }
    }
    Ok(())
}

fn write_title(
    f: &mut fmt::Formatter<'_>,
    profile: &Profile,
    name: &str,
    pprof: &Pprof,
) -> fmt::Result {
    let event = &profile.event;
    let types: Vec<_> = pprof
        .sample_types
        .iter()
        .map(|own| own.name.as_str())
        .collect();
    let facts = [
        name.to_owned(),
        event.tag("service").unwrap_or("no service").to_owned(),
        text::duration((event.end_ns - event.start_ns) as f64),
        text::counted(pprof.samples.len(), "sample", "samples"),
        format!("of {}", types.join(", ")),
    ];
    writeln!(f, "● {}", facts.join(" · "))
}

/// A value of a sample type with its unit.
fn amount(pprof: &Pprof, sample_type: &str, value: i64) -> String {
    let at = pprof.sample_type(sample_type);
    match at.map(|at| pprof.sample_types[at].unit.as_str()) {
        Some("nanoseconds") => text::duration(value as f64),
        Some(unit) => format!("{} {unit}", text::number(value as f64)),
        None => String::new(),
    }
}

fn write_functions(f: &mut fmt::Formatter<'_>, pprof: &Pprof, sample_type: &str) -> fmt::Result {
    let all = pprof.sum(sample_type).unwrap_or(0).max(1) as f64;
    let costs = pprof.hottest(sample_type).unwrap_or_default();
    let mut table = Table::aligned_right(&[1, 2, 3]);
    let titles = [sample_type, "", "self", "total", "function"];
    table.row(titles.map(str::to_owned));
    let hot = costs.iter().filter(|cost| cost.self_value > 0);
    for cost in hot.take(MAX_ROWS) {
        let share = cost.self_value as f64 / all;
        table.row([
            text::bar(share, BAR_WIDTH),
            amount(pprof, sample_type, cost.self_value),
            percent(share),
            percent(cost.total_value as f64 / all),
            text::shorten(&cost.function, 60),
        ]);
    }
    table.write(f)
}

/// The time within each local root span, by the resource of that span.
fn write_requests(
    f: &mut fmt::Formatter<'_>,
    received: &Received,
    pprof: &Pprof,
    sample_type: &str,
) -> fmt::Result {
    let sums = pprof.sum_by_label(sample_type, "local root span id");
    let sums = sums.unwrap_or_default();
    if sums.is_empty() {
        return Ok(());
    }
    let all = pprof.sum(sample_type).unwrap_or(0).max(1);
    let mut requests: BTreeMap<String, i64> = BTreeMap::new();
    for (label, value) in &sums {
        let root = received
            .spans()
            .find(|span| *label == Label::Number(span.span_id as i64));
        let name = root.map_or_else(
            || "spans not received".to_owned(),
            |root| format!("{} {}", root.name, root.resource),
        );
        *requests.entry(name).or_default() += value;
    }
    let outside = all - sums.values().sum::<i64>();
    if outside > 0 {
        requests.insert("outside of spans".to_owned(), outside);
    }
    let mut requests: Vec<_> = requests.into_iter().collect();
    requests.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
    let mut table = Table::aligned_right(&[1, 2]);
    table.row(["by local root span".to_owned()]);
    for (name, value) in requests.iter().take(MAX_ROWS) {
        let share = *value as f64 / all as f64;
        table.row([
            text::bar(share, BAR_WIDTH),
            amount(pprof, sample_type, *value),
            percent(share),
            text::shorten(name, 60),
        ]);
    }
    table.write(f)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
