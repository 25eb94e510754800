//! The HTTP endpoints: which path is which, and what each makes of a request.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;
use serde_json::json;

use crate::received::Items;
use crate::request::{Refused, Request};
use crate::{logs, trace};

/// The endpoints that the agent serves, as names for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /info`.
    Info,
    /// `POST` or `PUT /v0.4/traces`.
    Traces,
    /// `POST /api/v2/logs`.
    Logs,
    /// Any other path; answered 404.
    Unknown,
}

impl Endpoint {
    /// The endpoint of a path without its query.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/info" => Self::Info,
            "/v0.4/traces" => Self::Traces,
            "/api/v2/logs" => Self::Logs,
            _ => Self::Unknown,
        }
    }

    fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Info => &["GET"],
            Self::Traces => &["POST", "PUT"],
            Self::Logs => &["POST"],
            Self::Unknown => &[],
        }
    }

    /// Most bytes of a body as sent.
    pub(crate) fn max_body(self) -> usize {
        match self {
            // `datadog-agent: pkg/trace/config/config.go`, MaxRequestBytes.
            Self::Traces => 25 * 1024 * 1024,
            // More than any endpoint takes unpacked.
            _ => 64 * 1024 * 1024,
        }
    }
}

/// A proper answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The answer to something refused: the reason as text.
    pub(crate) fn refusing(refused: &Refused) -> Self {
        Self {
            status: refused.status,
            headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
            body: format!("{}\n", refused.reason),
        }
    }

    fn json(status: u16, body: String) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self {
            status,
            headers,
            body,
        }
    }
}

/// What the endpoints need to know beside the request.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) api_key: Option<String>,
    pub(crate) rate_by_service: Mutex<BTreeMap<String, f64>>,
    pub(crate) statsd_port: u16,
}

/// Handles one complete request: the answer and what the request brought, or why it is refused.
pub(crate) fn handle(
    endpoint: Endpoint,
    request: &Request,
    settings: &Settings,
) -> Result<(Answer, Items), Refused> {
    if endpoint == Endpoint::Unknown {
        return Err(Refused::new(404, "no such endpoint here"));
    }
    if !endpoint.methods().contains(&request.method.as_str()) {
        let reason = format!("expected {}", endpoint.methods().join(" or "));
        return Err(Refused::new(405, reason));
    }
    match endpoint {
        Endpoint::Info => Ok((info(settings), Items::None)),
        Endpoint::Traces => {
            let chunks = trace::decode(request)?;
            Ok((traces_answer(request, settings), Items::Traces(chunks)))
        }
        Endpoint::Logs => {
            let entries = logs::decode(request, settings.api_key.as_deref())?;
            Ok((Answer::json(202, "{}".to_owned()), Items::Logs(entries)))
        }
        Endpoint::Unknown => Err(Refused::new(404, "no such endpoint here")),
    }
}

/// Headers on every answer of the trace-agent (`datadog-agent: pkg/trace/api/api.go`).
pub(crate) fn agent_headers(settings: &Settings) -> [(&'static str, String); 2] {
    [
        ("datadog-agent-version", VERSION.to_owned()),
        ("datadog-agent-state", hash(&info_body(settings))),
    ]
}

const VERSION: &str = concat!("local-", env!("CARGO_PKG_VERSION"));

fn info(settings: &Settings) -> Answer {
    Answer::json(200, info_body(settings))
}

/// As the trace-agent's (`datadog-agent: pkg/trace/api/info.go`), with what this agent really serves.
fn info_body(settings: &Settings) -> String {
    json!({
        "version": VERSION,
        "endpoints": ["/v0.4/traces", "/profiling/v1/input"],
        "feature_flags": [],
        // Dropping unsampled traces needs the stats endpoint.
        "client_drop_p0s": false,
        "span_meta_structs": true,
        "span_events": true,
        "peer_tags": [],
        "config": {"default_env": "none", "statsd_port": settings.statsd_port},
    })
    .to_string()
}

/// The sampling rates; only `{}` if the client has this version of them (`datadog-agent: pkg/trace/api/responses.go`).
pub(crate) fn traces_answer(request: &Request, settings: &Settings) -> Answer {
    let rates = json!({"rate_by_service": *settings.rate_by_service.lock()}).to_string();
    let version = hash(&rates);
    let Some(known) = request.header("datadog-rates-payload-version") else {
        return Answer::json(200, rates);
    };
    let unchanged = known == version;
    let mut answer = Answer::json(200, if unchanged { "{}".to_owned() } else { rates });
    answer
        .headers
        .push(("datadog-rates-payload-version", version));
    answer
}

fn hash(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
