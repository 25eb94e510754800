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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::net::UnixListener;

    use crate::{DDConfig, Origin};

    /// The addresses, and the reasons that `describe` gives for them.
    fn discovered(sockets: &[&str], variables: &[(&str, &str)]) -> [(String, String); 2] {
        let directory = tempfile::tempdir().unwrap();
        let _listeners: Vec<_> = sockets
            .iter()
            .map(|name| UnixListener::bind(directory.path().join(name)).unwrap())
            .collect();
        let mut builder = DDConfig::builder().environment(variables.iter().copied());
        builder.host.sockets = directory.path().to_owned();
        let description = builder.build().unwrap().describe();
        ["trace_agent", "dogstatsd"].map(|name| {
            let row = description
                .rows()
                .iter()
                .find(|row| row.option == name)
                .unwrap();
            assert_eq!(row.origin, Origin::Calculated);
            let without_directory =
                |text: &str| text.replace(directory.path().to_str().unwrap(), "");
            (without_directory(&row.value), without_directory(&row.place))
        })
    }

    const BOTH: &[&str] = &["apm.socket", "dsd.socket"];

    #[track_caller]
    fn check(
        sockets: &[&str],
        variables: &[(&str, &str)],
        traces: (&str, &str),
        metrics: (&str, &str),
    ) {
        let [found_traces, found_metrics] = discovered(sockets, variables);
        assert_eq!((found_traces.0.as_str(), found_traces.1.as_str()), traces);
        assert_eq!(
            (found_metrics.0.as_str(), found_metrics.1.as_str()),
            metrics
        );
    }

    #[test]
    fn a_url_beats_everything() {
        check(
            BOTH,
            &[
                ("DD_TRACE_AGENT_URL", "unix:///there/apm.socket"),
                ("DD_DOGSTATSD_URL", "unixgram:///there/dsd.socket"),
                ("DD_AGENT_HOST", "agent"),
                ("DD_TRACE_AGENT_PORT", "1"),
                ("DD_DOGSTATSD_PORT", "2"),
            ],
            ("unix:///there/apm.socket", "DD_TRACE_AGENT_URL is set"),
            ("unixgram:///there/dsd.socket", "DD_DOGSTATSD_URL is set"),
        );
    }

    #[test]
    fn a_host_means_not_here() {
        check(
            BOTH,
            &[("DD_AGENT_HOST", "::1")],
            ("http://[::1]:8126", "DD_AGENT_HOST is set"),
            ("udp://[::1]:8125", "DD_AGENT_HOST is set"),
        );
        // Even the default's value, if somebody set it.
        check(
            BOTH,
            &[("DD_AGENT_HOST", "localhost"), ("DD_TRACE_AGENT_PORT", "1")],
            ("http://localhost:1", "DD_AGENT_HOST is set"),
            ("udp://localhost:8125", "DD_AGENT_HOST is set"),
        );
        check(
            BOTH,
            &[("DD_DOGSTATSD_HOST", "stats"), ("DD_AGENT_HOST", "agent")],
            ("http://agent:8126", "DD_AGENT_HOST is set"),
            ("udp://stats:8125", "DD_DOGSTATSD_HOST is set"),
        );
    }

    #[test]
    fn a_port_concerns_its_own_signal() {
        check(
            BOTH,
            &[("DD_TRACE_AGENT_PORT", "9126")],
            ("http://localhost:9126", "DD_TRACE_AGENT_PORT is set"),
            ("unix:///dsd.socket", "/dsd.socket exists"),
        );
        check(
            BOTH,
            &[("DD_DOGSTATSD_PORT", "9125")],
            ("unix:///apm.socket", "/apm.socket exists"),
            ("udp://localhost:9125", "DD_DOGSTATSD_PORT is set"),
        );
    }

    #[test]
    fn a_socket_beats_localhost() {
        check(
            &["apm.socket"],
            &[],
            ("unix:///apm.socket", "/apm.socket exists"),
            (
                "udp://localhost:8125",
                "nothing is set and there is no /dsd.socket",
            ),
        );
        check(
            &["dsd.socket"],
            &[],
            (
                "http://localhost:8126",
                "nothing is set and there is no /apm.socket",
            ),
            ("unix:///dsd.socket", "/dsd.socket exists"),
        );
    }

    #[test]
    fn a_url_that_is_none_counts_as_not_set() {
        check(
            BOTH,
            &[
                ("DD_TRACE_AGENT_URL", "ftp://x"),
                ("DD_DOGSTATSD_URL", "http://x"),
            ],
            ("unix:///apm.socket", "/apm.socket exists"),
            ("unix:///dsd.socket", "/dsd.socket exists"),
        );
    }
}
