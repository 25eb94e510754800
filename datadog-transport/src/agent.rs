//! The client of the trace agent, which takes traces, profiles and more.

use std::time::{Duration, Instant};

use datadog_config::{AgentUrl, DDConfig};
use parking_lot::Mutex;

use crate::http::HttpClient;
use crate::info::Knowledge;
use crate::{AgentInfo, Answer, Headers, Payload, SendError, TransportError};

/// The version of the compiler: what other languages call the version of the language.
pub const RUSTC_VERSION: &str = env!("DATADOG_RUSTC_VERSION");

/// The platform that this was compiled for, such as `x86_64-unknown-linux-gnu`.
pub const TARGET: &str = env!("DATADOG_TARGET");

/// The trace agent, over TCP or a Unix socket, with the headers that every request to it carries.
#[derive(Debug)]
pub struct AgentClient {
    http: HttpClient,
    limit: Duration,
    knowledge: Mutex<Knowledge>,
}

impl AgentClient {
    pub(crate) fn new(config: &DDConfig) -> Result<Self, TransportError> {
        let headers = identity(config);
        let http = match config.trace_agent() {
            AgentUrl::Unix(path) => HttpClient::unix(path, headers),
            // An agent is a neighbour: never behind the environment's proxy.
            url => HttpClient::tcp(url.to_string(), headers, None)?,
        };
        Ok(Self {
            http,
            limit: config.agent_timeout(),
            knowledge: Mutex::default(),
        })
    }

    /// The time limit of one request.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Posts a payload and reads the whole answer, within `limit`.
    ///
    /// # Errors
    ///
    /// A [`SendError`] where no whole answer came; refusals are answers.
    pub fn post(
        &self,
        path: &str,
        payload: &Payload,
        limit: Duration,
    ) -> Result<Answer, SendError> {
        let answer = self
            .http
            .post(path, &payload.headers, &payload.body, limit)?;
        if let Some(state) = answer.header("Datadog-Agent-State") {
            self.knowledge.lock().see_state(state);
        }
        Ok(answer)
    }

    /// What the agent said last that it can do. The default until it answered.
    pub fn info(&self) -> AgentInfo {
        self.knowledge.lock().info().clone()
    }

    /// Asks the agent what it can do, if that is not known or has changed. Waits for the answer, at most `limit`:
    /// for the worker, not for callers. Returns whether it was told anew.
    pub fn refresh_info(&self, limit: Duration) -> bool {
        if !self.knowledge.lock().wants_answer(Instant::now()) {
            return false;
        }
        let answer = self.http.get("/info", limit.min(self.limit));
        let mut knowledge = self.knowledge.lock();
        match answer {
            Ok(answer) => match (answer.status(), AgentInfo::parse(answer.body())) {
                (200, Some(info)) => {
                    knowledge.learn(info, answer.header("Datadog-Agent-State"));
                    return true;
                }
                (404, _) => {
                    knowledge.learn(AgentInfo::default(), answer.header("Datadog-Agent-State"));
                    return true;
                }
                _ => knowledge.no_answer(Instant::now()),
            },
            Err(_) => knowledge.no_answer(Instant::now()),
        }
        false
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }
}

/// Headers that tell the agent who sends (datadog-agent: `pkg/trace/api/internal/header/headers.go`).
fn identity(config: &DDConfig) -> Headers {
    let mut headers = vec![
        ("Datadog-Meta-Lang", "rust".to_owned()),
        ("Datadog-Meta-Lang-Version", RUSTC_VERSION.to_owned()),
        ("Datadog-Meta-Lang-Interpreter", "rustc".to_owned()),
        (
            "Datadog-Meta-Tracer-Version",
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
    ];
    let optional = [
        ("Datadog-Container-ID", config.container_id()),
        ("Datadog-Entity-ID", config.entity_id()),
        ("Datadog-External-Env", config.external_env()),
    ];
    headers.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.to_owned()))),
    );
    headers
}
