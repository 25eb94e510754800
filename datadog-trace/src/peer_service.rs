//! `peer.service`: the service that a request goes to, found in the other tags where the program does not say it, and
//! renamed as configured.
//!
//! The rules are those of dd-trace-go (`ddtrace/tracer/spancontext.go`, setPeerService).

use datadog_config::DDConfig;

use crate::batch::{Batch, FinishedSpan};

const PEER_SERVICE: &str = "peer.service";
/// Which tag it was taken from.
const SOURCE: &str = "_dd.peer.service.source";
/// What it was before it was renamed.
const REMAPPED_FROM: &str = "_dd.peer.service.remapped_from";

/// Where it is looked for last.
const HOSTS: &[&str] = &["network.destination.name", "peer.hostname", "out.host"];

#[derive(Debug)]
pub(crate) struct PeerService {
    has_defaults: bool,
    mapping: Vec<(String, String)>,
}

impl PeerService {
    /// `None` if nothing is to be done.
    pub(crate) fn new(config: &DDConfig) -> Option<Self> {
        let rules = Self {
            has_defaults: config.peer_service_defaults_enabled(),
            mapping: config.peer_service_mapping().to_vec(),
        };
        (rules.has_defaults || !rules.mapping.is_empty()).then_some(rules)
    }

    /// Sets the tags of spans that are about to be counted and sent.
    pub(crate) fn set(&self, spans: &mut Batch) {
        spans.set_texts(|span| self.tags(span));
    }

    fn tags(&self, span: FinishedSpan<'_>) -> Vec<(&'static str, String)> {
        let mut tags = Vec::new();
        let mut name = span.text(PEER_SERVICE);
        if name.is_some() {
            tags.push((SOURCE, PEER_SERVICE.to_owned()));
        } else if self.has_defaults
            && let Some((source, found)) = source(span)
        {
            tags.push((SOURCE, source.to_owned()));
            tags.push((PEER_SERVICE, found.to_owned()));
            name = Some(found);
        }
        if let Some(name) = name
            && let Some((_, other)) = self.mapping.iter().find(|(from, _)| from == name)
        {
            tags.push((REMAPPED_FROM, name.to_owned()));
            tags.push((PEER_SERVICE, other.clone()));
        }
        tags
    }
}

/// The tag that tells where a request goes best, with what it says.
fn source(span: FinishedSpan<'_>) -> Option<(&'static str, &str)> {
    if !matches!(span.text("span.kind"), Some("client" | "producer")) {
        return None;
    }
    let database = span.text("db.system");
    let (names, hosts): (&[&'static str], _) = if span.text("aws_service").is_some() {
        let parts = &[
            "queuename",
            "topicname",
            "streamname",
            "tablename",
            "bucketname",
        ];
        (parts, HOSTS)
    } else if database == Some("cassandra") {
        (&["db.cassandra.contact.points"], &[])
    } else if database.is_some() {
        (&["db.name", "db.instance"], HOSTS)
    } else if span.text("messaging.system").is_some() {
        (&["messaging.kafka.bootstrap.servers"], HOSTS)
    } else if span.text("rpc.system").is_some() {
        (&["rpc.service"], HOSTS)
    } else {
        (&[], HOSTS)
    };
    let mut keys = names.iter().chain(hosts);
    keys.find_map(|key| Some((*key, span.text(key)?)))
}
