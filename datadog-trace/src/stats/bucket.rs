//! The statistics of ten seconds.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use datadog_config::DDConfig;

use crate::msgpack;
use crate::stats::key::{BLOCKED_VALUE, KEY_FIELDS, Key};
use crate::stats::sketch::Sketch;

/// Beside those of the key.
const VALUE_FIELDS: usize = 6;

/// How many different values are told apart in one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    groups: usize,
    resources: usize,
    http_endpoints: usize,
    peer_tags: usize,
}

/// Groups of spans with what is counted of each.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    /// Whether its resources are without what they must not tell.
    pub(crate) obfuscated: bool,
    /// The version of its spans, where that is another one than the process has.
    pub(crate) version: Option<Box<str>>,
    /// By the bytes of the key in the payload.
    groups: HashMap<Box<[u8]>, Group>,
    resources: Distinct,
    http_endpoints: Distinct,
    peer_tags: Distinct,
    /// The key that is being looked for.
    key: Vec<u8>,
}

/// What is counted of a group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    hits: u64,
    errors: u64,
    top_level_hits: u64,
    duration_ns: u64,
    ok: Sketch,
    failed: Sketch,
}

/// One span's part in its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) duration_ns: u64,
    pub(crate) error: bool,
    pub(crate) top_level: bool,
}

/// The values that are told apart, by their hashes.
#[derive(Debug, Default)]
struct Distinct {
    known: HashSet<u64>,
    hasher: RandomState,
}

impl Limits {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            groups: config.stats_cardinality_limit(),
            resources: config.stats_resource_cardinality_limit(),
            http_endpoints: config.stats_http_endpoint_cardinality_limit(),
            peer_tags: config.stats_peer_tags_cardinality_limit(),
        }
    }
}

impl Bucket {
    pub(crate) fn new(start: u64, obfuscated: bool, version: Option<&str>) -> Self {
        Self {
            start,
            obfuscated,
            version: version.map(Box::from),
            groups: HashMap::new(),
            resources: Distinct::default(),
            http_endpoints: Distinct::default(),
            peer_tags: Distinct::default(),
            key: Vec::new(),
        }
    }

    /// Counts a span. Where its group, or a value of it, is one more than the limits allow, it counts as blocked.
    pub(crate) fn add(&mut self, mut key: Key<'_>, hit: Hit, limits: &Limits) {
        if !self.resources.admits(&key.resource, limits.resources) {
            key.resource = Cow::Borrowed(BLOCKED_VALUE);
        }
        let endpoints = limits.http_endpoints;
        if !self.http_endpoints.admits(key.http_endpoint, endpoints) {
            key.http_endpoint = BLOCKED_VALUE;
        }
        if !self.peer_tags.admits(&key.peer_tags, limits.peer_tags) {
            key.peer_tags = vec![Cow::Borrowed(BLOCKED_VALUE)];
        }
        self.write_key(&key);
        if self.groups.len() >= limits.groups && !self.groups.contains_key(&*self.key) {
            self.write_key(&Key::overflow());
        }
        match self.groups.get_mut(&*self.key) {
            Some(group) => group.add(hit),
            None => {
                let mut group = Group::default();
                group.add(hit);
                self.groups.insert(self.key.clone().into(), group);
            }
        }
    }

    fn write_key(&mut self, key: &Key<'_>) {
        self.key.clear();
        key.write(&mut self.key);
    }

    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(key, group)| (&**key, group))
    }
}

impl Group {
    fn add(&mut self, hit: Hit) {
        self.hits += 1;
        self.top_level_hits += u64::from(hit.top_level);
        self.duration_ns = self.duration_ns.saturating_add(hit.duration_ns);
        if hit.error {
            self.errors += 1;
            self.failed.add(hit.duration_ns);
        } else {
            self.ok.add(hit.duration_ns);
        }
    }

    /// Writes the group with the bytes of its key (datadog-agent: `pkg/proto/datadog/trace/stats.proto`).
    pub(crate) fn write(&self, key: &[u8], out: &mut Vec<u8>) {
        msgpack::map(out, KEY_FIELDS + VALUE_FIELDS);
        out.extend_from_slice(key);
        for (name, number) in [
            ("Hits", self.hits),
            ("Errors", self.errors),
            ("TopLevelHits", self.top_level_hits),
            ("Duration", self.duration_ns),
        ] {
            msgpack::str(out, name);
            msgpack::uint(out, number);
        }
        let mut sketch = Vec::new();
        for (name, summary) in [("OkSummary", &self.ok), ("ErrorSummary", &self.failed)] {
            sketch.clear();
            summary.encode(&mut sketch);
            msgpack::str(out, name);
            msgpack::bin(out, &sketch);
        }
    }
}

impl Distinct {
    fn admits(&mut self, value: impl Hash, limit: usize) -> bool {
        let hash = self.hasher.hash_one(value);
        self.known.contains(&hash) || (self.known.len() < limit && self.known.insert(hash))
    }
}
