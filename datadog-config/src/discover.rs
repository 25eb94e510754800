//! Finds the Agent: for traces, and for DogStatsD.

use std::path::Path;

use crate::config::Settings;
use crate::endpoint::{AgentUrl, DOGSTATSD_PORT, DogStatsDUrl, TRACE_PORT};

/// Where the Agent makes its sockets (`datadog-agent: pkg/config/setup`; `dd-trace-go: internal/agent.go`).
pub(crate) const SOCKETS: &str = "/var/run/datadog";

/// An address, and the reason why it was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Chosen<T> {
    pub(crate) url: T,
    pub(crate) reason: String,
}

impl<T> Chosen<T> {
    fn new(url: T, reason: impl Into<String>) -> Self {
        Self {
            url,
            reason: reason.into(),
        }
    }
}

/// The Agent's address for traces: a URL somebody set, a host or port somebody set, the socket if there is one, localhost.
///
/// (`dd-trace-go: internal/agent.go, AgentURLFromEnv`; `dd-trace-py: ddtrace/internal/settings/_agent.py`.)
pub(crate) fn trace_agent(settings: &Settings, sockets: &Path) -> Chosen<AgentUrl> {
    if let Some(url) = &settings.agent_url.value {
        return Chosen::new(url.clone(), "DD_TRACE_AGENT_URL is set");
    }
    let (host, port) = (&settings.agent_host.value, settings.tracing_port.value);
    let url = AgentUrl::tcp(
        host.as_deref().unwrap_or("localhost"),
        port.unwrap_or(TRACE_PORT),
    );
    match (host, port) {
        (Some(_), _) => return Chosen::new(url, "DD_AGENT_HOST is set"),
        (None, Some(_)) => return Chosen::new(url, "DD_TRACE_AGENT_PORT is set"),
        (None, None) => {}
    }
    let socket = sockets.join("apm.socket");
    if socket.exists() {
        let reason = format!("{} exists", socket.display());
        return Chosen::new(AgentUrl::Unix(socket), reason);
    }
    Chosen::new(
        url,
        format!("nothing is set and there is no {}", socket.display()),
    )
}

/// The address of DogStatsD: a URL somebody set, a host or port somebody set, the socket if there is one, localhost.
///
/// The Agent's host counts as a host that somebody set: it says that the Agent is not here, so no socket is looked for.
/// (`dd-trace-go: internal/agent.go`; `dd-trace-py: ddtrace/internal/settings/_agent.py, _derive_stats_url`.)
pub(crate) fn dogstatsd(settings: &Settings, sockets: &Path) -> Chosen<DogStatsDUrl> {
    if let Some(url) = &settings.dogstatsd_url.value {
        return Chosen::new(url.clone(), "DD_DOGSTATSD_URL is set");
    }
    let (own, agent) = (&settings.dogstatsd_host.value, &settings.agent_host.value);
    let port = settings.metrics_port.value;
    let host = own
        .as_deref()
        .or(agent.as_deref())
        .unwrap_or("localhost")
        .to_owned();
    let url = DogStatsDUrl::Udp {
        host,
        port: port.unwrap_or(DOGSTATSD_PORT),
    };
    match (own, agent, port) {
        (Some(_), _, _) => return Chosen::new(url, "DD_DOGSTATSD_HOST is set"),
        (None, Some(_), _) => return Chosen::new(url, "DD_AGENT_HOST is set"),
        (None, None, Some(_)) => return Chosen::new(url, "DD_DOGSTATSD_PORT is set"),
        (None, None, None) => {}
    }
    let socket = sockets.join("dsd.socket");
    if socket.exists() {
        let reason = format!("{} exists", socket.display());
        return Chosen::new(DogStatsDUrl::Unix(socket), reason);
    }
    Chosen::new(
        url,
        format!("nothing is set and there is no {}", socket.display()),
    )
}
