//! The HTTP endpoints: which path is which, and what each makes of a request.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::received::Items;
use crate::request::{Refused, Request};
use crate::{errors, intake, logs, profile, series, stats, trace, trace_v1};

/// The endpoints that the agent serves, as names for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /info`.
    Info,
    /// `POST` or `PUT /v0.4/traces`.
    Traces,
    /// `POST` or `PUT /v0.3/traces`, for agents that don't know v0.4.
    TracesV03,
    /// `POST` or `PUT /v1.0/traces`, served though `/info` does not list it.
    TracesV10,
    /// `POST` or `PUT /v0.6/stats`.
    Stats,
    /// `POST /api/v2/logs`.
    Logs,
    /// `POST /api/v2/series`.
    Series,
    /// `POST /api/v1/distribution_points`.
    DistributionPoints,
    /// `POST /profiling/v1/input` (agent) and `POST /api/v2/profile` (intake).
    Profiles,
    /// `POST /evp_proxy/v4/api/v2/errorsintake`, served though `/info` does not list it.
    Errors,
    /// Any other path; answered 404.
    Unknown,
}

impl Endpoint {
    /// The endpoint of a path without its query.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/info" => Self::Info,
            "/v0.4/traces" => Self::Traces,
            "/v0.3/traces" => Self::TracesV03,
            "/v1.0/traces" => Self::TracesV10,
            "/v0.6/stats" => Self::Stats,
            "/api/v2/logs" => Self::Logs,
            "/api/v2/series" => Self::Series,
            "/api/v1/distribution_points" => Self::DistributionPoints,
            "/evp_proxy/v4/api/v2/errorsintake" => Self::Errors,
            "/profiling/v1/input" | INTAKE_PROFILES => Self::Profiles,
            _ => Self::Unknown,
        }
    }

    fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Info => &["GET"],
            Self::Traces | Self::TracesV03 | Self::TracesV10 | Self::Stats => &["POST", "PUT"],
            Self::Logs
            | Self::Series
            | Self::DistributionPoints
            | Self::Profiles
            | Self::Errors => &["POST"],
            Self::Unknown => &[],
        }
    }

    /// Most bytes of a body as sent.
    pub(crate) fn max_body(self) -> usize {
        match self {
            // `datadog-agent: pkg/trace/config/config.go`, MaxRequestBytes.
            Self::Traces | Self::TracesV03 | Self::TracesV10 | Self::Stats => 25 * 1024 * 1024,
            Self::Series => series::MAX_SERIES_SENT,
            // More than any endpoint takes unpacked.
            _ => 64 * 1024 * 1024,
        }
    }
}

/// The profiles endpoint that asks for an API key.
const INTAKE_PROFILES: &str = "/api/v2/profile";

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

    /// Without sampling rates (`datadog-agent: pkg/trace/api/responses.go`).
    fn ok() -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
            body: "OK\n".to_owned(),
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
    /// Beats what `/info` would say.
    pub(crate) info: Mutex<Map<String, Value>>,
}

/// Handles one complete request: the answer and what the request brought, or why it is refused.
pub(crate) async fn handle(
    endpoint: Endpoint,
    request: &Request,
    settings: &Settings,
) -> Result<(Answer, Items), Refused> {
    let known = endpoint != Endpoint::Unknown;
    if known && !endpoint.methods().contains(&request.method.as_str()) {
        let reason = format!("expected {}", endpoint.methods().join(" or "));
        return Err(Refused::new(405, reason));
    }
    let key = settings.api_key.as_deref();
    match endpoint {
        Endpoint::Info => Ok((info(settings), Items::None)),
        Endpoint::Traces => {
            let chunks = trace::decode(request, trace::chunks)?;
            Ok((traces_answer(request, settings), Items::Traces(chunks)))
        }
        Endpoint::TracesV03 => {
            let chunks = trace::decode(request, trace::chunks)?;
            Ok((Answer::ok(), Items::Traces(chunks)))
        }
        Endpoint::TracesV10 => {
            let chunks = trace::decode(request, trace_v1::chunks)?;
            Ok((traces_answer(request, settings), Items::Traces(chunks)))
        }
        Endpoint::Stats => Ok((Answer::ok(), Items::Stats(stats::decode(request)?))),
        Endpoint::Logs => {
            let entries = logs::decode(request, key)?;
            Ok((Answer::json(202, "{}".to_owned()), Items::Logs(entries)))
        }
        Endpoint::Series => {
            let metrics = series::decode_series(request, key)?;
            let body = json!({"errors": []}).to_string();
            Ok((Answer::json(202, body), Items::Metrics(metrics)))
        }
        Endpoint::DistributionPoints => {
            let metrics = series::decode_distributions(request, key)?;
            let body = json!({"status": "ok"}).to_string();
            Ok((Answer::json(202, body), Items::Metrics(metrics)))
        }
        Endpoint::Profiles => {
            let to_intake = request.route() == INTAKE_PROFILES;
            if to_intake {
                intake::check_key(request, key)?;
            }
            let profile = profile::decode(request).await?;
            // The agent turns the intake's 202 into 200 (`datadog-agent: pkg/trace/api/profiles.go`).
            let status = if to_intake { 202 } else { 200 };
            Ok((
                Answer::json(status, "{}".to_owned()),
                Items::Profile(profile),
            ))
        }
        Endpoint::Errors => {
            let report = errors::decode(request)?;
            Ok((Answer::json(202, "{}".to_owned()), Items::Error(report)))
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
    let mut info = json!({
        "version": VERSION,
        "endpoints": ["/v0.3/traces", "/v0.4/traces", "/v0.6/stats", "/profiling/v1/input"],
        "feature_flags": [],
        // All traces are wanted, for the report.
        "client_drop_p0s": false,
        "span_meta_structs": true,
        "long_running_spans": true,
        "span_events": true,
        "peer_tags": [],
        "config": {"default_env": "none", "statsd_port": settings.statsd_port},
    });
    for (field, value) in settings.info.lock().iter() {
        info[field] = value.clone();
    }
    info.to_string()
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
