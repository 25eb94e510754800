//! Trace statistics that a client computed: `POST /v0.6/stats`, decoded strictly.
//!
//! The form is that of `datadog-agent: pkg/proto/datadog/trace/stats.proto` in msgpack. What the agent would take but can't be
//! right is refused: more errors than hits, summaries that hold another number of spans, a group that comes twice.

use std::collections::HashSet;

use rmpv::Value;

use crate::request::{Headers, Refused, Request};
use crate::sketch::Sketch;
use crate::value::{self, Fields};

/// The statistics of one request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatsPayload {
    /// The host, if the client reports it; else empty.
    pub hostname: String,
    /// The environment; may be empty.
    pub env: String,
    /// The version of the service; may be empty.
    pub version: String,
    /// The language of the client.
    pub lang: String,
    /// The version of the client.
    pub tracer_version: String,
    /// The id of the client's process.
    pub runtime_id: String,
    /// The place of the payload among those of its process.
    pub sequence: u64,
    /// The client's own service.
    pub service: String,
    /// The client's container; may be empty.
    pub container_id: String,
    /// The git commit of the service; may be empty.
    pub git_commit_sha: String,
    /// The tags of the client's process, `key:value` and commas; may be empty.
    pub process_tags: String,
    /// The version of the rules by which the client obfuscated the resources, from the header
    /// `Datadog-Obfuscation-Version`.
    pub obfuscation_version: Option<u64>,
    /// The buckets of time.
    pub buckets: Vec<StatsBucket>,
    /// Headers of the request.
    pub headers: Headers,
}

/// The statistics of ten seconds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatsBucket {
    /// Nanoseconds since the Unix epoch; a multiple of the duration.
    pub start_ns: u64,
    /// Nanoseconds.
    pub duration_ns: u64,
    /// The groups; never empty, none twice.
    pub groups: Vec<StatsGroup>,
}

/// The statistics of spans that are alike.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatsGroup {
    /// What the spans have in common.
    pub key: StatsKey,
    /// Number of spans.
    pub hits: u64,
    /// Number of spans with an error.
    pub errors: u64,
    /// Number of spans that are requests to their service.
    pub top_level_hits: u64,
    /// The sum of all durations in nanoseconds.
    pub duration_ns: u64,
    /// The durations of spans without an error.
    pub ok: Sketch,
    /// The durations of spans with an error.
    pub failed: Sketch,
}

/// What the spans of a [`StatsGroup`] have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StatsKey {
    /// Service name.
    pub service: String,
    /// Operation name.
    pub name: String,
    /// Resource name.
    pub resource: String,
    /// Span type; may be empty.
    pub type_: String,
    /// The tag `span.kind`; may be empty.
    pub span_kind: String,
    /// Zero if there is none.
    pub http_status_code: u64,
    /// Empty if there is none.
    pub http_method: String,
    /// Empty if there is none.
    pub http_endpoint: String,
    /// A number as text; empty if there is none.
    pub grpc_status_code: String,
    /// Whether a synthetic test made the requests.
    pub synthetics: bool,
    /// Whether the spans are the first of their traces; `None` where that is not told.
    pub is_trace_root: Option<bool>,
    /// Where the service name comes from; may be empty.
    pub service_source: String,
    /// Tags that tell the peers apart, as `key:value`.
    pub peer_tags: Vec<String>,
}

/// Checks the headers and decodes the body of a `/v0.6/stats` request.
pub(crate) fn decode(request: &Request) -> Result<StatsPayload, Refused> {
    let content_type = request.header("content-type").unwrap_or("(none)");
    if content_type != "application/msgpack" {
        let reason =
            format!("header Content-Type: expected application/msgpack, got {content_type}");
        return Err(Refused::new(415, reason));
    }
    let obfuscation = request.header("datadog-obfuscation-version");
    let obfuscation_version = obfuscation
        .map(|text| {
            text.parse().map_err(|_| {
                Refused::bad(format!(
                    "header Datadog-Obfuscation-Version: expected a number, got `{text}`"
                ))
            })
        })
        .transpose()?;
    let payload = value::msgpack(&request.body)
        .and_then(|value| payload(value, obfuscation_version, request.headers.clone()));
    payload.map_err(Refused::bad)
}

fn payload(
    value: Value,
    obfuscation_version: Option<u64>,
    headers: Headers,
) -> Result<StatsPayload, String> {
    let mut fields = Fields::of(value)?;
    let payload = StatsPayload {
        hostname: fields.required("Hostname", value::text)?,
        env: fields.required("Env", value::text)?,
        version: fields.required("Version", value::text)?,
        lang: fields.required("Lang", value::filled)?,
        tracer_version: fields.required("TracerVersion", value::filled)?,
        runtime_id: fields.required("RuntimeID", value::filled)?,
        sequence: fields.required("Sequence", value::id)?,
        service: fields.required("Service", value::filled)?,
        container_id: fields.optional("ContainerID", value::text)?,
        git_commit_sha: fields.optional("GitCommitSha", value::text)?,
        process_tags: fields.optional("ProcessTags", value::text)?,
        obfuscation_version,
        buckets: fields.required("Stats", |value| value::each(value, "buckets", bucket))?,
        headers,
    };
    fields.none_left()?;
    if payload.buckets.is_empty() {
        return Err("field `Stats`: it has no buckets".to_owned());
    }
    Ok(payload)
}

fn bucket(value: Value) -> Result<StatsBucket, String> {
    let mut fields = Fields::of(value)?;
    let bucket = StatsBucket {
        start_ns: fields.required("Start", value::id)?,
        duration_ns: fields.required("Duration", value::id)?,
        groups: fields.required("Stats", |value| value::each(value, "groups", group))?,
    };
    fields.none_left()?;
    if !bucket.start_ns.is_multiple_of(bucket.duration_ns) {
        return Err("field `Start`: it is no multiple of the duration".to_owned());
    }
    if bucket.groups.is_empty() {
        return Err("field `Stats`: it has no groups".to_owned());
    }
    let mut keys = HashSet::new();
    match bucket.groups.iter().find(|group| !keys.insert(&group.key)) {
        Some(group) => Err(format!("the group {:?} comes twice", group.key)),
        None => Ok(bucket),
    }
}

fn group(value: Value) -> Result<StatsGroup, String> {
    let mut fields = Fields::of(value)?;
    let group = StatsGroup {
        key: StatsKey {
            service: fields.required("Service", value::filled)?,
            name: fields.required("Name", value::filled)?,
            resource: fields.required("Resource", value::filled)?,
            type_: fields.optional("Type", value::text)?,
            span_kind: fields.optional("SpanKind", value::text)?,
            http_status_code: fields.optional("HTTPStatusCode", |value| {
                value::unsigned_32(value).map(u64::from)
            })?,
            http_method: fields.optional("HTTPMethod", value::text)?,
            http_endpoint: fields.optional("HTTPEndpoint", value::text)?,
            grpc_status_code: fields.optional("GRPCStatusCode", grpc_status)?,
            synthetics: fields.required("Synthetics", value::boolean)?,
            is_trace_root: fields.optional("IsTraceRoot", trilean)?,
            service_source: fields.optional("srv_src", value::text)?,
            peer_tags: fields.optional("PeerTags", |value| {
                value::each(value, "tags", value::filled)
            })?,
        },
        hits: fields.required("Hits", value::id)?,
        errors: fields.required("Errors", value::unsigned)?,
        top_level_hits: fields.required("TopLevelHits", value::unsigned)?,
        duration_ns: fields.required("Duration", value::unsigned)?,
        ok: fields.required("OkSummary", summary)?,
        failed: fields.required("ErrorSummary", summary)?,
    };
    fields.none_left()?;
    check_counts(&group)?;
    Ok(group)
}

fn check_counts(group: &StatsGroup) -> Result<(), String> {
    for (field, count) in [
        ("Errors", group.errors),
        ("TopLevelHits", group.top_level_hits),
    ] {
        if count > group.hits {
            let hits = group.hits;
            return Err(format!(
                "field `{field}`: {count}, but there are {hits} hits"
            ));
        }
    }
    for (field, sketch, count) in [
        ("OkSummary", &group.ok, group.hits - group.errors),
        ("ErrorSummary", &group.failed, group.errors),
    ] {
        if sketch.count() != count as f64 {
            let held = sketch.count();
            return Err(format!(
                "field `{field}`: it holds {held} spans instead of {count}"
            ));
        }
    }
    Ok(())
}

fn grpc_status(value: Value) -> Result<String, String> {
    let text = value::text(value)?;
    if text.is_empty() || text.parse::<u8>().is_ok() {
        Ok(text)
    } else {
        Err(format!("expected a number as text, got `{text}`"))
    }
}

/// `datadog-agent: pkg/proto/datadog/trace/stats.proto`, Trilean.
fn trilean(value: Value) -> Result<Option<bool>, String> {
    match value::unsigned(value)? {
        0 => Ok(None),
        1 => Ok(Some(true)),
        2 => Ok(Some(false)),
        other => Err(format!("expected 0, 1 or 2, got {other}")),
    }
}

fn summary(value: Value) -> Result<Sketch, String> {
    match value {
        Value::Binary(bytes) => Sketch::decode(&bytes),
        other => Err(format!("expected bin, got {}", value::kind(&other))),
    }
}
