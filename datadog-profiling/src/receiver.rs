//! Who takes profiles.

use std::sync::Arc;
use std::time::Duration;

use datadog_transport::{
    AgentClient, Answer, IntakeClient, Payload, SendError, TransportBuilder, TransportError,
};

/// Where the agent takes profiles (datadog-agent: `pkg/trace/api/endpoints.go`).
const AGENT_PATH: &str = "/profiling/v1/input";

/// Where the intake takes them (libdatadog: `libdd-profiling/src/exporter`).
const INTAKE_PATH: &str = "/api/v2/profile";

/// The agent, or the intake where there is none.
#[derive(Debug)]
pub(crate) enum Receiver {
    Agent(Arc<AgentClient>),
    Intake(IntakeClient),
}

impl Receiver {
    /// The one that the config names; `None` if that is the intake, and nothing says where it is.
    pub(crate) fn of(transport: &mut TransportBuilder) -> Result<Option<Self>, TransportError> {
        let config = transport.config().clone();
        if !config.profiling_agentless() {
            return Ok(Some(Self::Agent(transport.agent()?)));
        }
        let Some(url) = config.profiles_intake_url() else {
            log::warn!(
                target: "datadog",
                "profiles have no receiver and are dropped: set DD_API_KEY or DD_PROFILING_URL, or unset DD_PROFILING_AGENTLESS"
            );
            return Ok(None);
        };
        Ok(Some(Self::Intake(transport.intake(url)?)))
    }

    /// Posts an upload and reads the whole answer, within `limit`.
    pub(crate) fn post(&self, payload: &Payload, limit: Duration) -> Result<Answer, SendError> {
        match self {
            Self::Agent(agent) => agent.post(AGENT_PATH, payload, limit),
            Self::Intake(intake) => intake.post(INTAKE_PATH, payload, limit),
        }
    }
}
