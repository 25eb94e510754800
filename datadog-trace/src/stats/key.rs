//! What spans are told apart by in statistics (datadog-agent: `pkg/trace/stats/aggregation.go`).

use std::borrow::Cow;

use crate::batch::FinishedSpan;
use crate::msgpack;
use crate::stats::peer::quantize_hosts;

/// What stands for values beyond the limits of what is told apart (datadog-agent:
/// `pkg/trace/stats/span_concentrator.go`).
pub(crate) const BLOCKED_VALUE: &str = "tracer_blocked_value";

/// Whether it is the first span of its trace, as a Trilean (datadog-agent: `pkg/proto/datadog/trace/stats.proto`).
const IS_ROOT: u64 = 1;
const IS_NO_ROOT: u64 = 2;
const ROOT_NOT_KNOWN: u64 = 0;

/// The service of the process in spans of other services.
const BASE_SERVICE: &str = "_dd.base_service";

/// Where integrations keep a gRPC status, the first one counts (datadog-agent: `pkg/trace/stats/aggregation.go`).
const GRPC_KEYS: [&str; 4] = [
    "rpc.grpc.status_code",
    "grpc.code",
    "rpc.grpc.status.code",
    "grpc.status.code",
];

/// Longer names are cut by the agent (datadog-agent: `pkg/trace/traceutil/normalize/normalize.go`).
pub(crate) const SERVICE_BYTES: usize = 100;

/// The fields of [`Key::write`].
pub(crate) const KEY_FIELDS: usize = 13;

/// The group that a span belongs to.
#[derive(Debug, Default)]
pub(crate) struct Key<'a> {
    pub(crate) service: &'a str,
    pub(crate) name: &'a str,
    pub(crate) resource: Cow<'a, str>,
    pub(crate) span_type: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) http_status: u32,
    pub(crate) http_method: &'a str,
    pub(crate) http_endpoint: &'a str,
    pub(crate) grpc_status: Option<u8>,
    pub(crate) synthetics: bool,
    pub(crate) root: u64,
    pub(crate) service_source: &'a str,
    /// As they are sent, `key:value`.
    pub(crate) peer_tags: Vec<Cow<'a, str>>,
    /// The span's own version, which tells payloads apart and not groups.
    pub(crate) version: Option<&'a str>,
}

/// What statistics want to know of a span beside its tags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) service: &'a str,
    /// The service of the process, if it is another one.
    pub(crate) base_service: Option<&'a str>,
    /// Where the service comes from, if it is another one than that of the process.
    pub(crate) service_source: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) span_type: &'a str,
    /// Where the trace comes from, as another process told.
    pub(crate) origin: Option<&'a str>,
}

/// The tags that count, found in one pass.
#[derive(Debug, Default)]
struct Seen<'a> {
    kind: &'a str,
    http_method: [Option<&'a str>; 2],
    http_endpoint: [Option<&'a str>; 2],
    http_status: [Option<u32>; 2],
    /// By place in [`GRPC_KEYS`], texts before numbers.
    grpc_status: Option<(usize, u8)>,
    origin: Option<&'a str>,
    service_source: Option<&'a str>,
    base_service: Option<&'a str>,
    version: Option<&'a str>,
}

/// Whether a span counts in statistics: it is a request to its service, or measured, or one end of a request between
/// services. Not if it is still open, and shown as it is so far.
pub(crate) fn counts(span: FinishedSpan<'_>) -> bool {
    let is_measured = || span.number("_dd.measured") == Some(1.0);
    let is_between_services = || {
        let kind = span.text("span.kind");
        kind.is_some_and(|kind| is_one_of(kind, &["client", "server", "producer", "consumer"]))
    };
    let is_open = || span.number("_dd.partial_version") >= Some(0.0);
    (span.span.top_level || is_measured() || is_between_services()) && !is_open()
}

impl<'a> Key<'a> {
    /// The group of a span that [`counts`].
    pub(crate) fn of(tagged: FinishedSpan<'a>, facts: Facts<'a>, peer_keys: &[String]) -> Self {
        let seen = Seen::of(tagged);
        let origin = seen.origin.or(facts.origin);
        Self {
            service: facts.service,
            name: facts.name,
            resource: Cow::Borrowed(facts.resource),
            span_type: facts.span_type,
            kind: seen.kind,
            http_status: seen.http_status.into_iter().flatten().next().unwrap_or(0),
            http_method: first(seen.http_method),
            http_endpoint: first(seen.http_endpoint),
            grpc_status: seen.grpc_status.map(|(_, status)| status),
            synthetics: origin.is_some_and(|origin| origin.starts_with("synthetics")),
            root: if tagged.span.parent_id == 0 {
                IS_ROOT
            } else {
                IS_NO_ROOT
            },
            service_source: seen
                .service_source
                .or(facts.service_source)
                .unwrap_or_default(),
            peer_tags: peer_tags(tagged, &seen, facts, peer_keys),
            version: seen.version,
        }
    }

    /// The group of what is beyond the limits.
    pub(crate) fn overflow() -> Self {
        Self {
            service: BLOCKED_VALUE,
            name: BLOCKED_VALUE,
            resource: Cow::Borrowed(BLOCKED_VALUE),
            span_type: BLOCKED_VALUE,
            kind: BLOCKED_VALUE,
            http_method: BLOCKED_VALUE,
            http_endpoint: BLOCKED_VALUE,
            service_source: BLOCKED_VALUE,
            root: ROOT_NOT_KNOWN,
            peer_tags: vec![Cow::Borrowed(BLOCKED_VALUE)],
            ..Self::default()
        }
    }

    /// Cuts long texts, as the agent does when it hides what resources tell.
    pub(crate) fn cut(&mut self, resource_bytes: usize) {
        if let Cow::Owned(resource) = &mut self.resource {
            resource.truncate(floor(resource, resource_bytes));
        } else if let Cow::Borrowed(resource) = self.resource {
            self.resource = Cow::Borrowed(&resource[..floor(resource, resource_bytes)]);
        }
        for text in [&mut self.service, &mut self.name, &mut self.span_type] {
            *text = &text[..floor(text, SERVICE_BYTES)];
        }
    }

    /// Writes the key as fields of the group in the payload: what is written tells groups apart.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut text = |key: &str, value: &str| {
            msgpack::str(out, key);
            msgpack::str(out, value);
        };
        text("Service", self.service);
        text("Name", self.name);
        text("Resource", &self.resource);
        text("Type", self.span_type);
        text("SpanKind", self.kind);
        text("HTTPMethod", self.http_method);
        text("HTTPEndpoint", self.http_endpoint);
        let grpc_status = self.grpc_status.map(|status| status.to_string());
        text("GRPCStatusCode", grpc_status.as_deref().unwrap_or_default());
        text("srv_src", self.service_source);
        msgpack::str(out, "HTTPStatusCode");
        msgpack::uint(out, self.http_status.into());
        msgpack::str(out, "Synthetics");
        msgpack::bool(out, self.synthetics);
        msgpack::str(out, "IsTraceRoot");
        msgpack::uint(out, self.root);
        msgpack::str(out, "PeerTags");
        msgpack::array(out, self.peer_tags.len());
        self.peer_tags.iter().for_each(|tag| msgpack::str(out, tag));
    }
}

impl<'a> Seen<'a> {
    fn of(tagged: FinishedSpan<'a>) -> Self {
        let mut seen = Self::default();
        for (key, value) in tagged.texts() {
            seen.text(key, value);
        }
        for (key, value) in tagged.numbers() {
            seen.number(key, value);
        }
        seen
    }

    fn text(&mut self, key: &str, value: &'a str) {
        let filled = Some(value).filter(|value| !value.is_empty());
        match key {
            "span.kind" => self.kind = value,
            "http.method" => self.http_method[0] = filled,
            "http.request.method" => self.http_method[1] = filled,
            "http.endpoint" => self.http_endpoint[0] = filled,
            "http.route" => self.http_endpoint[1] = filled,
            "http.status_code" => self.http_status[0] = Some(value.parse().unwrap_or(0)),
            "http.response.status_code" => {
                let status = value.parse().ok();
                self.http_status[1] = status.filter(|code| (100..600).contains(code));
            }
            "_dd.origin" => self.origin = Some(value),
            "_dd.svc_src" => self.service_source = Some(value),
            BASE_SERVICE => self.base_service = filled,
            "version" => self.version = filled,
            _ => self.grpc(key, 0, || grpc_status(value)),
        }
    }

    fn number(&mut self, key: &str, value: f64) {
        match key {
            "http.status_code" => self.http_status[0] = Some(value as u32),
            "http.response.status_code" => {
                let whole = value.fract() == 0.0 && (100.0..600.0).contains(&value);
                self.http_status[1] = whole.then_some(value as u32);
            }
            _ => self.grpc(key, GRPC_KEYS.len(), || {
                let whole = value.fract() == 0.0 && (0.0..=255.0).contains(&value);
                whole.then_some(value as u8)
            }),
        }
    }

    fn grpc(&mut self, key: &str, offset: usize, status: impl FnOnce() -> Option<u8>) {
        if !key.contains("grpc") {
            return;
        }
        let place = GRPC_KEYS.iter().position(|known| *known == key);
        let Some(place) = place.map(|place| place + offset) else {
            return;
        };
        if self.grpc_status.is_none_or(|(known, _)| place < known)
            && let Some(status) = status()
        {
            self.grpc_status = Some((place, status));
        }
    }
}

/// The tags that tell the peer of a span. For work within the process, that is the process' own service, if the span
/// is of another one (datadog-agent: `pkg/trace/stats/span_concentrator.go`).
fn peer_tags<'a>(
    tagged: FinishedSpan<'a>,
    seen: &Seen<'a>,
    facts: Facts<'a>,
    peer_keys: &[String],
) -> Vec<Cow<'a, str>> {
    if peer_keys.is_empty() {
        return Vec::new();
    }
    let base_service = seen.base_service.or(facts.base_service);
    if is_one_of(seen.kind, &["client", "producer", "consumer"]) {
        let place = |key: &str| peer_keys.iter().position(|known| known == key);
        let own = tagged.texts().filter(|(key, _)| *key != BASE_SERVICE);
        let base = base_service.map(|service| (BASE_SERVICE, service));
        let mut found: Vec<_> = own
            .chain(base)
            .filter_map(|(key, value)| Some((place(key)?, key, value)))
            .collect();
        found.sort_unstable_by_key(|(place, ..)| *place);
        return found
            .into_iter()
            .map(|(_, key, value)| peer_tag(key, &quantize_hosts(value)))
            .collect();
    }
    let internal = seen.kind.is_empty() || is_one_of(seen.kind, &["internal"]);
    let base = base_service.filter(|_| internal);
    base.map_or_else(Vec::new, |service| vec![peer_tag(BASE_SERVICE, service)])
}

fn peer_tag<'a>(key: &str, value: &str) -> Cow<'a, str> {
    if value.is_empty() {
        Cow::Owned(key.to_owned())
    } else {
        Cow::Owned(format!("{key}:{value}"))
    }
}

fn is_one_of(kind: &str, kinds: &[&str]) -> bool {
    kinds.iter().any(|known| kind.eq_ignore_ascii_case(known))
}

fn first(values: [Option<&str>; 2]) -> &str {
    values.into_iter().flatten().next().unwrap_or_default()
}

/// The largest length up to `most` that does not cut a character.
pub(crate) fn floor(text: &str, most: usize) -> usize {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// A status by its number or its name (grpc: `doc/statuscodes.md`).
fn grpc_status(text: &str) -> Option<u8> {
    if let Ok(status) = text.parse() {
        return Some(status);
    }
    let name = text.trim_start_matches("StatusCode.").to_ascii_uppercase();
    let status = match &*name.replace('_', "") {
        "OK" => 0,
        "CANCELLED" | "CANCELED" => 1,
        "UNKNOWN" => 2,
        "INVALIDARGUMENT" => 3,
        "DEADLINEEXCEEDED" => 4,
        "NOTFOUND" => 5,
        "ALREADYEXISTS" => 6,
        "PERMISSIONDENIED" => 7,
        "RESOURCEEXHAUSTED" => 8,
        "FAILEDPRECONDITION" => 9,
        "ABORTED" => 10,
        "OUTOFRANGE" => 11,
        "UNIMPLEMENTED" => 12,
        "INTERNAL" => 13,
        "UNAVAILABLE" => 14,
        "DATALOSS" => 15,
        "UNAUTHENTICATED" => 16,
        _ => return None,
    };
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::span_data::SpanData;
    use crate::ticks::Ticks;

    /// The key of a top-level span with these tags, as far as it is interesting.
    fn with_key<T>(
        change: impl FnOnce(&mut SpanData),
        peer_keys: &[&str],
        look: impl FnOnce(Option<Key<'_>>) -> T,
    ) -> T {
        let mut span = SpanData {
            top_level: true,
            ..SpanData::default()
        };
        change(&mut span);
        let mut batch = Batch::default();
        batch.push(&mut span, Ticks::ZERO);
        let facts = Facts {
            service: "db",
            base_service: Some("web"),
            service_source: None,
            name: "query",
            resource: "query",
            span_type: "",
            origin: None,
        };
        let peer_keys: Vec<String> = peer_keys.iter().map(|key| (*key).to_owned()).collect();
        let tagged = batch.spans().next();
        tagged.map_or_else(
            || unreachable!("there is one"),
            |tagged| look(counts(tagged).then(|| Key::of(tagged, facts, &peer_keys))),
        )
    }

    #[test]
    fn statuses_are_read_from_texts_and_numbers_in_their_order() {
        let http = |texts: &[(&'static str, &str)], numbers: &[(&'static str, f64)]| {
            let change = |span: &mut SpanData| {
                for (key, text) in texts {
                    span.tags.set_text((*key).into(), text);
                }
                for (key, number) in numbers {
                    span.tags.set_number((*key).into(), *number);
                }
            };
            with_key(change, &[], |key| {
                let key = key.unwrap();
                (key.http_status, key.grpc_status)
            })
        };
        assert_eq!(http(&[], &[]), (0, None));
        assert_eq!(http(&[("http.status_code", "404")], &[]), (404, None));
        assert_eq!(http(&[("http.status_code", "x")], &[]), (0, None));
        assert_eq!(
            http(
                &[("http.response.status_code", "201")],
                &[("http.status_code", 500.0)]
            ),
            (500, None)
        );
        assert_eq!(http(&[], &[("http.response.status_code", 201.0)]).0, 201);
        assert_eq!(http(&[], &[("http.response.status_code", 20.0)]).0, 0);
        assert_eq!(http(&[("grpc.code", "unavailable")], &[]).1, Some(14));
        assert_eq!(http(&[("grpc.code", "StatusCode.OK")], &[]).1, Some(0));
        assert_eq!(
            http(&[("grpc.code", "what")], &[("grpc.code", 3.0)]).1,
            Some(3)
        );
        assert_eq!(
            http(
                &[("grpc.status.code", "5"), ("grpc.code", "Canceled")],
                &[("rpc.grpc.status_code", 3.0)]
            )
            .1,
            Some(1),
            "texts before numbers, and then the first key"
        );
        assert_eq!(http(&[], &[("grpc.code", 3.5)]).1, None);
    }

    #[test]
    fn spans_of_no_interest_have_no_key() {
        let counts =
            |top_level: bool, texts: &[(&'static str, &str)], numbers: &[(&'static str, f64)]| {
                let change = |span: &mut SpanData| {
                    span.top_level = top_level;
                    for (key, text) in texts {
                        span.tags.set_text((*key).into(), text);
                    }
                    for (key, number) in numbers {
                        span.tags.set_number((*key).into(), *number);
                    }
                };
                with_key(change, &[], |key| key.is_some())
            };
        assert!(counts(true, &[], &[]));
        assert!(!counts(false, &[], &[]));
        assert!(!counts(false, &[("span.kind", "internal")], &[]));
        for kind in ["client", "SERVER", "Producer", "consumer"] {
            assert!(counts(false, &[("span.kind", kind)], &[]));
        }
        assert!(counts(false, &[], &[("_dd.measured", 1.0)]));
        assert!(!counts(false, &[], &[("_dd.measured", 0.0)]));
        assert!(!counts(
            true,
            &[],
            &[("_dd.partial_version", 1_600_000_000.0)]
        ));
    }

    #[test]
    fn peers_are_told_by_the_kind_of_the_span() {
        let peers = |kind: &str, keys: &[&str]| {
            let change = |span: &mut SpanData| {
                span.tags.set_text("span.kind".into(), kind);
                span.tags.set_text("out.host".into(), "10.0.0.1:5432");
                span.tags.set_text("db.name".into(), "");
            };
            with_key(change, keys, |key| {
                let tags = key.unwrap().peer_tags.into_iter();
                tags.map(Cow::into_owned).collect::<Vec<_>>()
            })
        };
        let keys = ["_dd.base_service", "db.name", "out.host", "other"];
        assert_eq!(
            peers("client", &keys),
            [
                "_dd.base_service:web",
                "db.name",
                "out.host:blocked-ip-address:5432"
            ]
        );
        assert_eq!(peers("", &keys), ["_dd.base_service:web"]);
        assert_eq!(peers("internal", &["db.name"]), ["_dd.base_service:web"]);
        assert!(peers("server", &keys).is_empty());
        assert!(peers("client", &[]).is_empty());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let resource = "é".repeat(10);
        let name = "n".repeat(200);
        let mut key = Key {
            resource: Cow::Borrowed(&resource),
            name: &name,
            ..Key::default()
        };
        key.cut(7);
        assert_eq!((key.resource.len(), key.name.len()), (6, 100));
    }
}
