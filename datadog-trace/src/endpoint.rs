//! The version of the traces endpoint that the agent knows.
//!
//! v1.0 where the agent's `/info` lists it and `DD_TRACE_AGENT_PROTOCOL_VERSION` allows it, unless the agent loses
//! something of it; until `/info` was read, and everywhere else, v0.4; v0.3 where the agent is too old for that. An agent
//! that does not take v1.0 after all gets what waits encoded anew as v0.4, and is not asked again until its `/info`
//! changes.
//!
//! Not v0.5, though agents know it as long as v0.4: its spans are lists of twelve fixed fields, without a place for
//! links and structured values (datadog-agent: `pkg/trace/api/version.go`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::TraceProtocol;
use datadog_transport::{Account, AgentClient, AgentInfo, Answer, Payload, SendError};

use crate::encode::{is_v1, to_v04};
use crate::stats::STATS_PATH;

/// Writes each text once a payload. Answers like v0.4 (datadog-agent: `pkg/trace/api/version.go`).
const V10: &str = "/v1.0/traces";

/// Answers with sampling rates.
const V04: &str = "/v0.4/traces";

/// Takes the same MessagePack, and answers without rates (datadog-agent: `pkg/trace/api/api.go`).
const V03: &str = "/v0.3/traces";

/// Posts traces to v1.0, v0.4 or v0.3.
pub(crate) struct TracesEndpoint {
    agent: Arc<AgentClient>,
    account: Arc<Account>,
    /// What the options allow.
    newest: TraceProtocol,
    /// What the agent takes, as far as is known.
    protocol: TraceProtocol,
    /// Where v0.4 goes.
    path: &'static str,
}

impl TracesEndpoint {
    pub(crate) fn new(
        agent: Arc<AgentClient>,
        account: Arc<Account>,
        newest: TraceProtocol,
    ) -> Self {
        Self {
            agent,
            account,
            newest,
            protocol: TraceProtocol::V04,
            path: V04,
        }
    }

    /// The time limit of one request.
    pub(crate) fn limit(&self) -> Duration {
        self.agent.limit()
    }

    /// How to encode traces from now on.
    pub(crate) fn protocol(&self) -> TraceProtocol {
        self.protocol
    }

    /// Asks the agent what it can do, if that may have changed, and changes to the newest version that it says it
    /// knows. What it says, if that is new. Waits for the answer, at most `limit`.
    pub(crate) fn refresh(&mut self, limit: Duration) -> Option<AgentInfo> {
        if limit.is_zero() || !self.agent.refresh_info(limit) {
            return None;
        }
        let info = self.agent.info();
        let lists = |wanted: &str| info.endpoints.iter().any(|path| path == wanted);
        self.protocol = if lists(V10) {
            self.newest
        } else {
            TraceProtocol::V04
        };
        if lists(V04) {
            self.path = V04;
        }
        Some(info)
    }

    /// Notes that the agent computes the statistics. Some lose the language of spans that come as v1.0, so they get v0.4
    /// (dd-trace-go computes the statistics itself then, whatever its options say: `ddtrace/tracer/doc.go`).
    pub(crate) fn leave_stats_to(&mut self, agent: &AgentInfo) {
        if agent.version.as_deref().is_some_and(loses_language) {
            self.protocol = TraceProtocol::V04;
        }
    }

    /// Posts statistics within `limit`.
    pub(crate) fn post_stats(
        &self,
        payload: &Payload,
        limit: Duration,
    ) -> Result<Answer, SendError> {
        self.agent.post(STATS_PATH, payload, limit)
    }

    /// Posts a payload within `limit`. One that the agent does not take as v1.0 becomes one of v0.4, and is posted so at
    /// once.
    pub(crate) fn post(
        &mut self,
        payload: &mut Payload,
        limit: Duration,
    ) -> Result<Answer, SendError> {
        if !is_v1(payload) {
            return self.post_v04(payload, limit);
        }
        let start = Instant::now();
        let tries_v10 = self.protocol == TraceProtocol::V10;
        if tries_v10 {
            let answer = self.agent.post(V10, payload, limit)?;
            match answer.status() {
                404 | 415 => self.protocol = TraceProtocol::V04,
                // What is too large is halved, and texts that are written once can't be.
                413 => {}
                _ => return Ok(answer),
            }
        }
        if let Some(v04) = to_v04(payload) {
            *payload = v04;
        }
        let left = time_left(start, limit)?;
        if tries_v10 {
            self.account.request(true);
        }
        self.post_v04(payload, left)
    }

    /// Where the agent does not know the path, the other one is tried at once, and kept unless it is unknown too.
    fn post_v04(&mut self, payload: &Payload, limit: Duration) -> Result<Answer, SendError> {
        let start = Instant::now();
        let answer = self.agent.post(self.path, payload, limit)?;
        if !is_unknown(&answer) {
            return Ok(answer);
        }
        let left = time_left(start, limit)?;
        let unknown = self.path;
        self.path = if unknown == V04 { V03 } else { V04 };
        self.account.request(true);
        let answer = self.agent.post(self.path, payload, left)?;
        if is_unknown(&answer) {
            self.path = unknown;
        }
        Ok(answer)
    }
}

/// Whether this is the version of an agent from 7.73 to 7.78. What is no agent has other versions, and does not lose it.
fn loses_language(version: &str) -> bool {
    let minor = version
        .strip_prefix("7.")
        .and_then(|rest| rest.split('.').next());
    let minor = minor.and_then(|minor| minor.parse::<u32>().ok());
    minor.is_some_and(|minor| (73..=78).contains(&minor))
}

fn is_unknown(answer: &Answer) -> bool {
    matches!(answer.status(), 404 | 415)
}

/// What is left of `limit`; an error that is tried again later where that is nothing.
fn time_left(start: Instant, limit: Duration) -> Result<Duration, SendError> {
    let left = limit.saturating_sub(start.elapsed());
    if left.is_zero() {
        let error = "no time was left for another version of the endpoint";
        return Err(SendError::TimedOut(error.to_owned()));
    }
    Ok(left)
}
