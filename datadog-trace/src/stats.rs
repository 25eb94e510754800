//! Statistics of finished spans, computed before sampling: with them, the agent needs not see the traces that are not
//! kept. As the official clients do it (dd-trace-go: `ddtrace/tracer/stats.go`; libdatadog: `libdd-trace-stats`).

mod bucket;
mod filter;
mod key;
mod pattern;
mod payload;
mod peer;
mod sketch;

use std::borrow::Cow;
use std::collections::HashSet;

use datadog_config::DDConfig;
use datadog_transport::{AgentInfo, DropReason, Payload};

use crate::batch::FinishedSpan;
use crate::encode::Encoder;
use crate::obfuscate;
use crate::trace::Chunk;
use bucket::{Bucket, Hit, Limits};
use filter::Filters;
pub(crate) use key::Facts;
use key::Key;
use payload::{BUCKET_NS, Payloads};

/// Where statistics go (datadog-agent: `pkg/trace/api/endpoints.go`).
pub(crate) const STATS_PATH: &str = "/v0.6/stats";

/// Statistics wait for late spans so long, beside the bucket that time has reached.
const LATE_BUCKETS: u64 = 1;

/// Longer resources are cut where the agent would do so (datadog-agent: `pkg/trace/agent/truncator.go`).
const RESOURCE_BYTES: usize = 5_000;
const BIG_RESOURCE_BYTES: usize = 15_000;

/// The rate by which old Datadog products keep spans of traces that are not kept
/// (dd-trace-go: `ddtrace/ext/tags.go`, EventSampleRate).
const EVENT_RATE: &str = "_dd1.sr.eausr";

/// Collects the statistics of what passes through the sink.
#[derive(Debug)]
pub(crate) struct Stats {
    enabled: bool,
    limits: Limits,
    /// What the agent wants; `None` while it wants none.
    rules: Option<Rules>,
    buckets: Vec<Bucket>,
    /// Spans that ended before this bucket count in it: older ones are sent.
    oldest: u64,
    payloads: Payloads,
    left_out: LeftOut,
}

#[derive(Debug)]
struct Rules {
    peer_tags: Vec<String>,
    filters: Filters,
    /// Whether resources are to be rid of what they must not tell, before they are sent.
    obfuscate: bool,
    resource_bytes: usize,
}

/// What was not sent because it is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Whole chunks.
    pub(crate) chunks: u64,
    pub(crate) spans: u64,
}

impl Stats {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            enabled: config.stats_computation_enabled(),
            limits: Limits::new(config),
            rules: None,
            buckets: Vec::new(),
            oldest: 0,
            payloads: Payloads::new(config),
            left_out: LeftOut::default(),
        }
    }

    /// Takes up what the agent says of itself. Without statistics it needs all traces, and where it needs all traces,
    /// it computes the statistics itself.
    pub(crate) fn learn(&mut self, info: &AgentInfo) {
        let takes_stats = info.endpoints.iter().any(|path| path == STATS_PATH);
        let wanted = self.enabled && takes_stats && info.client_drop_p0s;
        self.rules = wanted.then(|| Rules::new(info)).flatten();
    }

    /// Whether statistics are computed here.
    pub(crate) fn are_on(&self) -> bool {
        self.rules.is_some()
    }

    /// Counts a chunk, and leaves out of it what needs not be sent. Why, and how many spans.
    pub(crate) fn take(
        &mut self,
        encoder: &Encoder,
        chunk: &mut Chunk,
    ) -> Option<(DropReason, u64)> {
        let rules = self.rules.as_ref()?;
        if rules.reject(encoder, chunk) {
            let spans = chunk.spans.len() as u64;
            chunk.spans.clear();
            return Some((DropReason::Filtered, spans));
        }
        let now = encoder.now();
        let origin = chunk
            .upstream
            .as_ref()
            .and_then(|upstream| upstream.origin.as_deref());
        for tagged in chunk.spans.spans().filter(|span| key::counts(*span)) {
            let facts = encoder.facts(tagged, origin);
            let mut key = Key::of(tagged, facts, &rules.peer_tags);
            if rules.obfuscate {
                let hidden = obfuscate::resource(facts.span_type, facts.resource);
                if let Some(hidden) = hidden {
                    key.resource = Cow::Owned(hidden);
                }
                key.cut(rules.resource_bytes);
            }
            let (start, duration_ns) = encoder.times(tagged);
            let ended = start.saturating_add(duration_ns).min(now);
            // The clock may have been set back since the last flush.
            let oldest = self.oldest.min(aligned(now));
            let bucket_start = aligned(ended).max(oldest);
            let hit = Hit {
                duration_ns,
                error: tagged.span.error,
                top_level: tagged.span.top_level,
            };
            // As dd-trace-go does it (`ddtrace/tracer/stats.go`, concentrator.add).
            let own = key.version.take();
            let own = own.filter(|own| *own != self.payloads.version());
            let bucket = bucket(&mut self.buckets, bucket_start, rules.obfuscate);
            bucket.add(own, key, hit, &self.limits);
        }
        let left_out = leave_out(chunk);
        self.left_out.spans += left_out;
        self.left_out.chunks += u64::from(left_out > 0 && chunk.spans.is_empty());
        (left_out > 0).then_some((DropReason::Sampled, left_out))
    }

    /// What was left out since the agent was told last.
    pub(crate) fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Notes that the agent was told of that much.
    pub(crate) fn told(&mut self, left_out: LeftOut) {
        self.left_out.chunks -= left_out.chunks;
        self.left_out.spans -= left_out.spans;
    }

    /// The statistics that are complete by now, or all, as payloads.
    pub(crate) fn flush(&mut self, now: u64, all: bool) -> Vec<Payload> {
        let kept_from = aligned(now).saturating_sub(LATE_BUCKETS * BUCKET_NS);
        // What is that far ahead is from before the clock was set back: no more spans come for it.
        let ahead = aligned(now) + BUCKET_NS;
        let is_due = |bucket: &mut Bucket| all || bucket.start < kept_from || bucket.start > ahead;
        let mut due: Vec<Bucket> = self.buckets.extract_if(.., is_due).collect();
        self.oldest = if all { aligned(now) } else { kept_from };
        due.sort_by_key(|bucket| bucket.obfuscated);
        let of_a_kind = due.chunk_by(|bucket, next| bucket.obfuscated == next.obfuscated);
        let payloads = &mut self.payloads;
        of_a_kind
            .flat_map(|buckets| payloads.write(buckets))
            .collect()
    }
}

impl Rules {
    fn new(info: &AgentInfo) -> Option<Self> {
        let has_flag = |name: &str| info.feature_flags.iter().any(|flag| flag == name);
        Some(Self {
            peer_tags: info.peer_tags.clone(),
            filters: Filters::new(info)?,
            obfuscate: obfuscate::is_wanted(info),
            resource_bytes: if has_flag("big_resource") {
                BIG_RESOURCE_BYTES
            } else {
                RESOURCE_BYTES
            },
        })
    }

    fn reject(&self, encoder: &Encoder, chunk: &Chunk) -> bool {
        if self.filters.is_empty() {
            return false;
        }
        let Some(root) = root_of(chunk) else {
            return false;
        };
        self.filters
            .reject(encoder.resource_of(root), |key| encoder.text_of(root, key))
    }
}

/// The span that the agent takes for the first of the trace: one whose parent is not in the chunk.
fn root_of(chunk: &Chunk) -> Option<FinishedSpan<'_>> {
    let local_root = chunk.spans.spans().find(|span| span.span.is_local_root);
    local_root.or_else(|| {
        let ids: HashSet<u64> = chunk.spans.spans().map(|span| span.span.span_id).collect();
        let mut spans = chunk.spans.spans();
        spans.find(|span| !ids.contains(&span.span.parent_id))
    })
}

/// Leaves spans out of a chunk that is not kept: all, but those that are kept alone. Errors keep the whole chunk
/// (libdatadog: `libdd-trace-utils`, `drop_chunks`). How many.
fn leave_out(chunk: &mut Chunk) -> u64 {
    if chunk.decision.is_kept() || chunk.spans.spans().any(|span| span.span.error) {
        return 0;
    }
    let before = chunk.spans.len();
    chunk.spans.retain(|tagged| {
        let extras = tagged.extras();
        extras.is_some_and(|extras| extras.kept_alone.is_some()) || tagged.has_tag(EVENT_RATE)
    });
    (before - chunk.spans.len()) as u64
}

fn bucket(buckets: &mut Vec<Bucket>, start: u64, obfuscated: bool) -> &mut Bucket {
    let known = buckets
        .iter()
        .position(|bucket| (bucket.start, bucket.obfuscated) == (start, obfuscated));
    let place = known.unwrap_or_else(|| {
        buckets.push(Bucket::new(start, obfuscated));
        buckets.len() - 1
    });
    &mut buckets[place]
}

fn aligned(time: u64) -> u64 {
    time - time % BUCKET_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::sample::Decision;
    use crate::span_data::SpanData;
    use crate::ticks::Ticks;

    fn stats() -> (Stats, Encoder) {
        let config = DDConfig::builder().environment([("", "")]);
        let config = config.service("web").build().unwrap();
        let mut stats = Stats::new(&config);
        stats.rules = Rules::new(&AgentInfo::default());
        (stats, Encoder::new(&config))
    }

    /// A chunk with one span that ended then.
    fn chunk(end_ns: u64) -> Chunk {
        named_chunk(end_ns, "")
    }

    fn named_chunk(end_ns: u64, name: &str) -> Chunk {
        let mut span = SpanData {
            name: name.to_owned().into(),
            span_id: 1,
            top_level: true,
            ..SpanData::default()
        };
        span.extras().start_ns = Some(end_ns - 1);
        span.extras().end_ns = Some(end_ns);
        chunk_of(&mut span)
    }

    fn chunk_of(span: &mut SpanData) -> Chunk {
        let mut spans = Batch::default();
        spans.push(span, Ticks::ZERO);
        Chunk {
            trace_id: 1,
            upstream: None,
            decision: Decision::default(),
            spans,
        }
    }

    #[test]
    fn buckets_wait_for_late_spans_and_go_once() {
        let (mut stats, encoder) = stats();
        let second = 1_000_000_000;
        let start = aligned(encoder.now()) - 10 * BUCKET_NS;
        for end in [1, 9, 11, 19, 21].map(|seconds| start + seconds * second) {
            assert_eq!(stats.take(&encoder, &mut chunk(end)), None);
        }
        let starts = |stats: &Stats| -> Vec<u64> {
            let mut starts: Vec<u64> = stats.buckets.iter().map(|bucket| bucket.start).collect();
            starts.sort_unstable();
            starts.iter().map(|time| (time - start) / second).collect()
        };
        assert_eq!(starts(&stats), [0, 10, 20]);
        assert!(stats.flush(start + 19 * second, false).is_empty());
        assert_eq!(stats.flush(start + 20 * second, false).len(), 1);
        assert_eq!(starts(&stats), [10, 20]);
        // Too late for its own bucket: it counts in the oldest that is still here.
        stats.take(&encoder, &mut chunk(start + 2 * second));
        assert_eq!(starts(&stats), [10, 20]);
        assert_eq!(
            stats.flush(start + 21 * second, true).len(),
            1,
            "both in one"
        );
        assert!(stats.flush(start + 22 * second, true).is_empty());
        stats.take(&encoder, &mut chunk(start + 11 * second));
        assert_eq!(starts(&stats), [20]);
    }

    #[test]
    fn statistics_do_not_wait_for_a_clock_that_was_set_back() {
        let (mut stats, encoder) = stats();
        let before = aligned(encoder.now());
        stats.take(&encoder, &mut chunk(before));
        // An hour back.
        let back = before - 360 * BUCKET_NS;
        assert_eq!(stats.flush(back, false).len(), 1);
        // And here the last flush was an hour ahead.
        stats.oldest = before + 360 * BUCKET_NS;
        stats.take(&encoder, &mut chunk(before));
        let start = stats.buckets[0].start;
        assert!(start - before <= BUCKET_NS, "{start} {before}");
    }

    #[test]
    fn limits_hold_for_all_versions_together() {
        let (mut stats, encoder) = stats();
        let now = encoder.now();
        for number in 0..9_000 {
            let mut span = SpanData {
                name: format!("operation {}", number / 3).into(),
                resource: Some(format!("resource {number}").into()),
                top_level: true,
                ..SpanData::default()
            };
            span.extras().end_ns = Some(now);
            let version = (number % 3).to_string();
            span.tags.set_text("version".into(), &version);
            stats.take(&encoder, &mut chunk_of(&mut span));
        }
        let bucket = &stats.buckets[0];
        let keys = || {
            let groups = bucket.versions().flat_map(|version| bucket.groups(version));
            groups.map(|(key, _)| String::from_utf8_lossy(key))
        };
        assert_eq!(bucket.versions().count(), 3);
        // And what is beyond them, once a version.
        assert_eq!(keys().count(), 7_000 + 3);
        let resources = keys().filter(|key| key.contains("resource "));
        assert_eq!(resources.count(), 1_024);
        assert_eq!(stats.flush(now, true).len(), 3);
    }

    #[test]
    fn many_groups_are_sent_in_parts() {
        let (mut stats, encoder) = stats();
        let now = encoder.now();
        for number in 0..4_500 {
            let mut chunk = named_chunk(now, &format!("operation {number}"));
            stats.take(&encoder, &mut chunk);
        }
        // 1024 of them by their resources, which are the names; the others by their names.
        assert_eq!(stats.buckets[0].groups(None).count(), 4_500);
        assert_eq!(stats.flush(now, true).len(), 2);
    }
}
