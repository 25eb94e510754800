//! Profiles as tables of the hottest functions, and of the requests that the time went to.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::text::{self, Table};
use crate::pprof::{Label, Pprof, Sample};
use crate::profile::Profile;
use crate::received::Received;
use crate::trace::Span;

/// Most rows of a table.
const MAX_ROWS: usize = 12;
/// Most functions of a local root span.
const MAX_FUNCTIONS: usize = 3;
/// Columns of a bar.
const BAR_WIDTH: usize = 20;

/// What went to the local root spans of one name and resource.
#[derive(Default)]
struct Request {
    value: i64,
    /// By span and function.
    functions: BTreeMap<String, i64>,
}

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

/// The time within each local root span, by the resource of that span, and the functions that most of it went to, with the
/// spans that called them.
fn write_requests(
    f: &mut fmt::Formatter<'_>,
    received: &Received,
    pprof: &Pprof,
    sample_type: &str,
) -> fmt::Result {
    let Some(at) = pprof.sample_type(sample_type) else {
        return Ok(());
    };
    let spans: HashMap<u64, &Span> = received.spans().map(|span| (span.span_id, span)).collect();
    let span = |sample: &Sample, label| match sample.label(label)? {
        Label::Number(id) => Some(spans.get(&(*id as u64)).copied()),
        Label::Text(_) => None,
    };
    let unknown = || "spans not received".to_owned();
    let mut requests: BTreeMap<String, Request> = BTreeMap::new();
    for sample in &pprof.samples {
        let value = sample.values[at];
        let root = span(sample, "local root span id");
        let name = match root {
            Some(root) => {
                root.map_or_else(unknown, |root| format!("{} {}", root.name, root.resource))
            }
            None => "outside of spans".to_owned(),
        };
        let request = requests.entry(name).or_default();
        request.value += value;
        let caller = span(sample, "span id").or(root);
        if let (Some(caller), Some(call)) = (caller, sample.stack.first()) {
            let caller = caller.map_or_else(unknown, |caller| caller.name.clone());
            let function = format!("{caller}: {}", call.function);
            *request.functions.entry(function).or_default() += value;
        }
    }
    if requests
        .values()
        .all(|request| request.functions.is_empty())
    {
        return Ok(());
    }
    let all = pprof.sum(sample_type).unwrap_or(0).max(1);
    let mut table = Table::aligned_right(&[1, 2]);
    table.row(["by local root span".to_owned()]);
    let mut row = |bar: bool, name: &str, value: i64| {
        let share = value as f64 / all as f64;
        table.row([
            text::bar(if bar { share } else { 0.0 }, BAR_WIDTH),
            amount(pprof, sample_type, value),
            percent(share),
            text::shorten(name, 60),
        ]);
    };
    let requests = requests.iter().map(|(name, own)| (name, own.value, own));
    for (name, value, request) in highest(requests, MAX_ROWS) {
        row(true, name, value);
        let functions = request
            .functions
            .iter()
            .map(|(name, value)| (name, *value, ()));
        for (name, value, ()) in highest(functions, MAX_FUNCTIONS) {
            row(false, &format!("└ {name}"), value);
        }
    }
    table.write(f)
}

/// Those with the highest values above 0.
fn highest<'a, T>(
    all: impl Iterator<Item = (&'a String, i64, T)>,
    most: usize,
) -> Vec<(&'a String, i64, T)> {
    let mut all: Vec<_> = all.filter(|(_, value, _)| *value > 0).collect();
    all.sort_by_key(|(_, value, _)| std::cmp::Reverse(*value));
    all.truncate(most);
    all
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
