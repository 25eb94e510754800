//! A profiled client and its agent; what arrived, read by a reader of profiles that is not ours.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datadog::{DDClient, DDConfig, DDConfigBuilder};
use datadog_local_agent::{LocalAgent, Span};
use libdd_profiling_protobuf::prost_impls::{Message as _, Profile};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A client that is sampled from here on.
pub(crate) fn profiled(
    agent: &LocalAgent,
    more: impl FnOnce(DDConfigBuilder) -> DDConfigBuilder,
) -> DDClient {
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .agent_url(agent.url());
    let client = DDClient::new(more(config).build().unwrap()).unwrap();
    client.profiling_start();
    // The worker starts the sampler before it answers this.
    assert!(client.flush(LIMIT).complete);
    client
}

/// Work, counted, so that it is as much on a busy machine.
#[inline(always)]
pub(crate) fn spin(mut rounds: u64) {
    let mut state = 1u64;
    while rounds > 0 {
        state = black_box(state.rotate_left(5) ^ 0x9e37_79b9);
        rounds -= 1;
    }
    black_box(state);
}

/// Rounds of [`spin`] that a sampler sees some ten times.
pub(crate) const VISIBLE: u64 = 30_000_000;

/// A sample that arrived.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) functions: Vec<String>,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) count: i64,
}

impl Sample {
    /// Whether a function whose name ends so is on the stack.
    pub(crate) fn is_in(&self, name: &str) -> bool {
        self.functions.iter().any(|own| own.ends_with(name))
    }

    pub(crate) fn text(&self, label: &str) -> Option<&str> {
        self.labels.get(label).map(String::as_str)
    }

    /// The number of a label, as the unsigned one that it stands for.
    pub(crate) fn number(&self, label: &str) -> Option<u64> {
        Some(self.labels.get(label)?.parse().unwrap())
    }
}

/// The samples of all uploads.
pub(crate) fn samples(agent: &LocalAgent) -> Vec<Sample> {
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let uploads = agent.profiles();
    uploads
        .iter()
        .flat_map(|upload| {
            // The receiver took the form apart with `multer`.
            assert_eq!(upload.attachments.len(), 1);
            read(&Profile::decode(&*upload.attachments[0].bytes).unwrap())
        })
        .collect()
}

fn read(profile: &Profile) -> Vec<Sample> {
    let text = |index: i64| profile.string_table[index as usize].clone();
    let names: HashMap<u64, String> = profile
        .functions
        .iter()
        .map(|function| (function.id, text(function.name)))
        .collect();
    let locations: HashMap<u64, Vec<&String>> = profile
        .locations
        .iter()
        .map(|location| {
            let lines = location.lines.iter();
            (
                location.id,
                lines.map(|line| &names[&line.function_id]).collect(),
            )
        })
        .collect();
    let calls = |ids: &[u64]| {
        let calls = ids.iter().flat_map(|id| &locations[id]);
        calls.map(|name| (*name).clone()).collect()
    };
    profile
        .samples
        .iter()
        .map(|sample| Sample {
            functions: calls(&sample.location_ids),
            labels: sample
                .labels
                .iter()
                .map(|label| {
                    let number = (label.num as u64).to_string();
                    let value = if label.str == 0 {
                        number
                    } else {
                        text(label.str)
                    };
                    (text(label.key), value)
                })
                .collect(),
            count: sample.values[0],
        })
        .collect()
}

/// The spans that arrived, by id.
pub(crate) fn spans(agent: &LocalAgent) -> HashMap<u64, Span> {
    let spans = agent.spans().into_iter();
    spans.map(|span| (span.span_id, span)).collect()
}

/// The first ancestor of a span that arrived.
pub(crate) fn root_of(spans: &HashMap<u64, Span>, mut id: u64) -> u64 {
    while let Some(span) = spans.get(&spans[&id].parent_id) {
        id = span.span_id;
    }
    id
}

/// There is one sampler a process, so the tests take turns.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
