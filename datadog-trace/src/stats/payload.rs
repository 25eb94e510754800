//! Statistics as the agent reads them: `POST /v0.6/stats`, MessagePack (datadog-agent:
//! `pkg/proto/datadog/trace/stats.proto`, ClientStatsPayload).

use std::collections::BTreeSet;

use datadog_config::DDConfig;
use datadog_transport::Payload;

use crate::msgpack;
use crate::obfuscate;
use crate::stats::bucket::{Bucket, Group};

/// The most groups of one payload (datadog-agent: `pkg/trace/writer/stats.go`).
const MOST_GROUPS: usize = 4_000;

/// The length of a bucket in nanoseconds (datadog-agent: `pkg/trace/stats/span_concentrator.go`).
pub(crate) const BUCKET_NS: u64 = 10_000_000_000;

/// Writes payloads.
#[derive(Debug)]
pub(crate) struct Payloads {
    /// Text fields that are always the same.
    fields: Vec<(&'static str, String)>,
    /// That of the process.
    version: String,
    /// Asked anew each time, as a fork has another one.
    config: DDConfig,
    sequence: u64,
}

/// Groups of one bucket.
struct Part<'a> {
    start: u64,
    groups: Vec<(&'a [u8], &'a Group)>,
}

impl Payloads {
    pub(crate) fn new(config: &DDConfig) -> Self {
        let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let hostname = config.hostname().filter(|_| config.report_hostname());
        Self {
            fields: vec![
                ("Hostname", owned(hostname)),
                ("Env", owned(config.env())),
                ("Lang", "rust".to_owned()),
                ("TracerVersion", env!("CARGO_PKG_VERSION").to_owned()),
                ("Service", config.service().to_owned()),
                ("ContainerID", owned(config.container_id())),
                ("GitCommitSha", owned(config.git_commit_sha())),
                ("ProcessTags", owned(config.process_tags())),
            ],
            version: owned(config.version()),
            config: config.clone(),
            sequence: 0,
        }
    }

    /// The version of spans that have none of their own.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Payloads with all groups of these buckets, which are all obfuscated or all not.
    pub(crate) fn write(&mut self, buckets: &[Bucket]) -> Vec<Payload> {
        let versions: BTreeSet<_> = buckets.iter().flat_map(Bucket::versions).collect();
        let versions = versions.into_iter();
        versions
            .flat_map(|version| self.write_version(buckets, version))
            .collect()
    }

    fn write_version(&mut self, buckets: &[Bucket], version: Option<&str>) -> Vec<Payload> {
        let obfuscated = buckets.iter().any(|bucket| bucket.obfuscated);
        let mut parts: Vec<Part<'_>> = Vec::new();
        let mut payloads = Vec::new();
        let mut room = MOST_GROUPS;
        for bucket in buckets {
            let mut groups = bucket.groups(version).peekable();
            while groups.peek().is_some() {
                let some: Vec<_> = groups.by_ref().take(room).collect();
                room -= some.len();
                parts.push(Part {
                    start: bucket.start,
                    groups: some,
                });
                if room == 0 {
                    payloads.push(self.payload(&parts, version, obfuscated));
                    parts.clear();
                    room = MOST_GROUPS;
                }
            }
        }
        if !parts.is_empty() {
            payloads.push(self.payload(&parts, version, obfuscated));
        }
        payloads
    }

    fn payload(&mut self, parts: &[Part<'_>], version: Option<&str>, obfuscated: bool) -> Payload {
        self.sequence += 1;
        let mut body = Vec::new();
        msgpack::map(&mut body, self.fields.len() + 4);
        for (key, value) in &self.fields {
            msgpack::str(&mut body, key);
            msgpack::str(&mut body, value);
        }
        msgpack::str(&mut body, "Version");
        msgpack::str(&mut body, version.unwrap_or(&self.version));
        msgpack::str(&mut body, "RuntimeID");
        msgpack::str(&mut body, self.config.runtime_id());
        msgpack::str(&mut body, "Sequence");
        msgpack::uint(&mut body, self.sequence);
        msgpack::str(&mut body, "Stats");
        msgpack::array(&mut body, parts.len());
        parts.iter().for_each(|part| part.write(&mut body));
        let mut headers = vec![("Content-Type", "application/msgpack".to_owned())];
        if obfuscated {
            let rules = obfuscate::VERSION.to_string();
            headers.push(("Datadog-Obfuscation-Version", rules));
        }
        let groups = parts.iter().map(|part| part.groups.len() as u64).sum();
        Payload::new(body, headers, groups)
    }
}

impl Part<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        msgpack::map(out, 3);
        msgpack::str(out, "Start");
        msgpack::uint(out, self.start);
        msgpack::str(out, "Duration");
        msgpack::uint(out, BUCKET_NS);
        msgpack::str(out, "Stats");
        msgpack::array(out, self.groups.len());
        self.groups
            .iter()
            .for_each(|(key, group)| group.write(key, out));
    }
}
