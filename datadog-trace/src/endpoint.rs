//! The version of the traces endpoint that the agent knows.
//!
//! Not v0.5, though agents know it as long: its spans are lists of twelve fixed fields, without a place for links and
//! structured values (datadog-agent: `pkg/trace/api/version.go`). What its table of strings saves, is saved on the way
//! within one machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_transport::{Account, AgentClient, AgentInfo, Answer, Payload, SendError};

use crate::stats::STATS_PATH;

/// Answers with sampling rates.
const V04: &str = "/v0.4/traces";

/// Takes the same MessagePack, and answers without rates (datadog-agent: `pkg/trace/api/api.go`).
const V03: &str = "/v0.3/traces";

/// Posts traces to v0.4, or to v0.3 where the agent is too old for that.
pub(crate) struct TracesEndpoint {
    agent: Arc<AgentClient>,
    account: Arc<Account>,
    path: &'static str,
}

impl TracesEndpoint {
    pub(crate) fn new(agent: Arc<AgentClient>, account: Arc<Account>) -> Self {
        Self {
            agent,
            account,
            path: V04,
        }
    }

    /// The time limit of one request.
    pub(crate) fn limit(&self) -> Duration {
        self.agent.limit()
    }

    /// Asks the agent what it can do, if that may have changed, and goes back to v0.4 where it says that it knows it.
    /// What it says, if that is new. Waits for the answer, at most `limit`.
    pub(crate) fn refresh(&mut self, limit: Duration) -> Option<AgentInfo> {
        if limit.is_zero() || !self.agent.refresh_info(limit) {
            return None;
        }
        let info = self.agent.info();
        if info.endpoints.iter().any(|path| path == V04) {
            self.path = V04;
        }
        Some(info)
    }

    /// Posts statistics within `limit`.
    pub(crate) fn post_stats(
        &self,
        payload: &Payload,
        limit: Duration,
    ) -> Result<Answer, SendError> {
        self.agent.post(STATS_PATH, payload, limit)
    }

    /// Posts a payload within `limit`. Where the agent does not know the path, the other one is tried at once, and kept
    /// unless it is unknown too.
    pub(crate) fn post(&mut self, payload: &Payload, limit: Duration) -> Result<Answer, SendError> {
        let start = Instant::now();
        let answer = self.agent.post(self.path, payload, limit)?;
        let left = limit.saturating_sub(start.elapsed());
        if !is_unknown(&answer) || left.is_zero() {
            return Ok(answer);
        }
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

fn is_unknown(answer: &Answer) -> bool {
    matches!(answer.status(), 404 | 415)
}
