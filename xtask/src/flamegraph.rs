//! Where the time went that profiles tell of, as a picture.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use datadog_local_agent::{Label, Received, Sample};
use inferno::flamegraph::{self, Options};

use crate::Outcome;

/// What the picture shows.
const SAMPLE_TYPE: &str = "cpu-time";

/// Writes a flame graph (SVG) of all profiles that arrived. The lowest row are the spans that the time was spent in.
pub(crate) fn write(received: &Received, file: &Path) -> Outcome {
    let stacks = stacks(received);
    let mut options = Options::default();
    options.title = format!("{SAMPLE_TYPE} by span");
    options.count_name = "nanoseconds".to_owned();
    let picture = BufWriter::new(File::create(file)?);
    flamegraph::from_lines(&mut options, stacks.iter().map(String::as_str), picture)
        .map_err(|error| format!("{}: {error}", file.display()).into())
}

/// A line a stack, the outermost call first: the form that flame graph tools read.
fn stacks(received: &Received) -> Vec<String> {
    let names: HashMap<u64, &str> = received
        .spans()
        .map(|span| (span.span_id, &*span.name))
        .collect();
    let mut sums = HashMap::<String, i64>::new();
    let pprofs = received.profiles().iter().filter_map(|own| own.pprof());
    for pprof in pprofs {
        let Some(at) = pprof.sample_type(SAMPLE_TYPE) else {
            continue;
        };
        for sample in pprof.samples.iter().filter(|own| own.values[at] > 0) {
            let functions = sample.stack.iter().rev().map(|call| &*call.function);
            let frames: Vec<_> = [span_of(sample, &names)]
                .into_iter()
                .chain(functions)
                // What separates frames.
                .map(|name| name.replace(';', ":"))
                .collect();
            *sums.entry(frames.join(";")).or_default() += sample.values[at];
        }
    }
    let lines = sums.into_iter();
    lines.map(|(stack, sum)| format!("{stack} {sum}")).collect()
}

/// The name of the span that a sample was taken in.
fn span_of<'a>(sample: &Sample, names: &HashMap<u64, &'a str>) -> &'a str {
    match sample.label("span id") {
        Some(Label::Number(id)) => names.get(&(*id as u64)).unwrap_or(&"span not received"),
        _ => "outside of spans",
    }
}
