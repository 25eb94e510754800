//! The statistics of ten seconds.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use datadog_config::DDConfig;

use crate::msgpack;
use crate::stats::key::{BLOCKED_VALUE, KEY_FIELDS, Key};
use crate::stats::sketch::Sketch;

/// So many versions that spans have of their own are told apart in a bucket. Further ones count as the process' own.
const MOST_VERSIONS: usize = 16;

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
    versions: Vec<OfVersion>,
    resources: Distinct,
    http_endpoints: Distinct,
    peer_tags: Distinct,
    /// The key that is being looked for.
    key: Vec<u8>,
}

/// The groups of spans with this version.
#[derive(Debug)]
struct OfVersion {
    /// `None` stands for that of the process.
    version: Option<Box<str>>,
    /// By the bytes of the key in the payload.
    groups: HashMap<Box<[u8]>, Group>,
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
    pub(crate) fn new(start: u64, obfuscated: bool) -> Self {
        Self {
            start,
            obfuscated,
            versions: Vec::new(),
            resources: Distinct::default(),
            http_endpoints: Distinct::default(),
            peer_tags: Distinct::default(),
            key: Vec::new(),
        }
    }

    /// Counts a span with a version of its own, or that of the process. Where its group, or a value of it, is one more
    /// than the limits allow, it counts as blocked. The limits are those of all versions.
    pub(crate) fn add(
        &mut self,
        version: Option<&str>,
        mut key: Key<'_>,
        hit: Hit,
        limits: &Limits,
    ) {
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
        let all: usize = self.versions.iter().map(|of| of.groups.len()).sum();
        let place = self.place(version);
        if all >= limits.groups && !self.versions[place].groups.contains_key(&*self.key) {
            self.write_key(&Key::overflow());
        }
        let groups = &mut self.versions[place].groups;
        match groups.get_mut(&*self.key) {
            Some(group) => group.add(hit),
            None => {
                let mut group = Group::default();
                group.add(hit);
                groups.insert(self.key.clone().into(), group);
            }
        }
    }

    /// Where the groups of a version are.
    fn place(&mut self, version: Option<&str>) -> usize {
        let known = |versions: &[OfVersion], version| {
            let mut known = versions.iter().map(|of| of.version.as_deref());
            known.position(|known| known == version)
        };
        if let Some(place) = known(&self.versions, version) {
            return place;
        }
        let own = self.versions.iter().filter(|of| of.version.is_some());
        let version = version.filter(|_| own.count() < MOST_VERSIONS);
        known(&self.versions, version).unwrap_or_else(|| {
            self.versions.push(OfVersion {
                version: version.map(Box::from),
                groups: HashMap::new(),
            });
            self.versions.len() - 1
        })
    }

    fn write_key(&mut self, key: &Key<'_>) {
        self.key.clear();
        key.write(&mut self.key);
    }

    /// The versions that spans were counted of; `None` stands for that of the process.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Option<&str>> {
        self.versions.iter().map(|of| of.version.as_deref())
    }

    /// The groups of one of them.
    pub(crate) fn groups(&self, version: Option<&str>) -> impl Iterator<Item = (&[u8], &Group)> {
        let of_version = self.versions.iter();
        let of_version = of_version.filter(move |of| of.version.as_deref() == version);
        let groups = of_version.flat_map(|of| &of.groups);
        groups.map(|(key, group)| (&**key, group))
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
