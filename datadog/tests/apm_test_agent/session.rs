//! One test's use of the agent: nothing of other tests is in what it reads back.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use datadog::{DDClient, DDConfig, DDConfigBuilder};
use serde_json::{Value, json};

/// How long one flush or one question may take, on a busy machine too.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The agent counts requests that name no session, as the client's, to the session started last: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A session of the agent, forgotten by it when dropped.
pub(crate) struct Session {
    name: &'static str,
    url: String,
    socket: String,
    http: ureq::Agent,
    _alone: MutexGuard<'static, ()>,
}

/// A request to the agent, as it keeps them.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) url: String,
    headers: Value,
    body: String,
}

impl Session {
    /// `None` where there is no agent; then the test is left out, and says so.
    pub(crate) fn start(test: &'static str) -> Option<Self> {
        let Some((url, socket)) = agent() else {
            // Not a print macro: those are captured in tests.
            let _ = writeln!(
                std::io::stderr(),
                "left out: {test}: it needs the APM test agent, run `cargo xtask test`"
            );
            return None;
        };
        let session = Self {
            name: test,
            url,
            socket,
            http: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .proxy(None)
                .timeout_global(Some(LIMIT))
                .build()
                .into(),
            _alone: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner),
        };
        session.get("/test/trace_check/clear?clear_all=true");
        session.begin(&[]);
        Some(session)
    }

    /// Forgets what came so far, and answers traces with these rates from now on: by `service:NAME,env:NAME`.
    pub(crate) fn begin(&self, rates: &[(&str, f64)]) {
        let rates = json!(BTreeMap::from_iter(rates.iter().copied())).to_string();
        let rates: String = rates.bytes().map(|byte| format!("%{byte:02x}")).collect();
        // Rates belong to requests that name the same session, and the client's name none. The session with a name is
        // the last to start, as the client's requests are to be read back with it.
        self.get(&format!(
            "/test/session/start?agent_sample_rate_by_service={rates}"
        ));
        self.get(&format!(
            "/test/session/start?test_session_token={}",
            self.name
        ));
    }

    /// The agent's addresses, for `agent_url`: TCP, then the Unix socket.
    pub(crate) fn agent_urls(&self) -> [String; 2] {
        [self.url.clone(), format!("unix://{}", self.socket)]
    }

    /// A client of the agent, without the settings of this process.
    pub(crate) fn client(
        &self,
        agent_url: &str,
        more: impl FnOnce(DDConfigBuilder) -> DDConfigBuilder,
    ) -> DDClient {
        let config = DDConfig::builder()
            .environment([("", "")])
            .agent_url(agent_url)
            .service("shop")
            .env("conformance")
            .version("1.2.3");
        DDClient::new(more(config).build().unwrap()).unwrap()
    }

    /// The traces of this session, as lists of spans: those of v0.4, numbers and all
    /// (dd-apm-test-agent: `ddapm_test_agent/trace.py`).
    pub(crate) fn traces(&self) -> Vec<Value> {
        match self.read("/test/session/traces") {
            Value::Array(traces) => traces,
            other => panic!("no list of traces: {other}"),
        }
    }

    /// The statistics of this session (dd-apm-test-agent: `ddapm_test_agent/tracestats.py`).
    pub(crate) fn stats(&self) -> Vec<Value> {
        match self.read("/test/session/stats") {
            Value::Array(payloads) => payloads,
            other => panic!("no list of payloads: {other}"),
        }
    }

    /// The requests of this session, oldest first.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let requests = self.read("/test/session/requests");
        let request = |kept: &Value| Request {
            url: kept["url"].as_str().unwrap().to_owned(),
            headers: kept["headers"].clone(),
            body: kept["body"].as_str().unwrap().to_owned(),
        };
        requests.as_array().unwrap().iter().map(request).collect()
    }

    /// What became of the checks of requests without a session, as the client's: for each check an object with
    /// `Passed_Checks` and `Failed_Checks`.
    pub(crate) fn check_counts(&self) -> Value {
        let (status, text) = self.get("/test/trace_check/summary");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Whether any check of any request failed since the last [`Session::clear`], and the agent's words on it.
    pub(crate) fn failed_checks(&self) -> (bool, String) {
        let (status, text) = self.get("/test/trace_check/failures?return_all=true");
        (status != 200, text)
    }

    /// Forgets what came so far.
    pub(crate) fn clear(&self) {
        self.get(&format!(
            "/test/session/clear?test_session_token={}",
            self.name
        ));
        self.get("/test/trace_check/clear?clear_all=true");
    }

    /// Sends a hand-made trace request, with this session's name. Returns the status and the answer.
    pub(crate) fn post_traces(
        &self,
        headers: &[(&str, &str)],
        body: impl ureq::AsSendBody,
    ) -> (u16, String) {
        let mut request = self
            .http
            .post(format!("{}/v0.4/traces", self.url))
            .header("X-Datadog-Test-Session-Token", self.name);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.send(body).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    fn read(&self, path: &str) -> Value {
        let (status, text) = self.get(&format!("{path}?test_session_token={}", self.name));
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error} in {text}"))
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut answer = self.http.get(format!("{}{path}", self.url)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A failing request must not hide the test's own failure.
        if !std::thread::panicking() {
            self.clear();
        }
    }
}

impl Request {
    /// A header's value, empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let headers = self.headers.as_object().unwrap();
        headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.as_str().unwrap())
    }

    /// The body as it was sent.
    pub(crate) fn body(&self) -> Vec<u8> {
        BASE64_STANDARD.decode(&self.body).unwrap()
    }
}

/// The agent's URL and socket, if there is an agent.
#[expect(
    clippy::disallowed_methods,
    reason = "how `cargo xtask test` says where the agent is"
)]
fn agent() -> Option<(String, String)> {
    let url = std::env::var("APM_TEST_AGENT_URL").ok()?;
    let socket = std::env::var("APM_TEST_AGENT_SOCKET").ok()?;
    Some((url, socket))
}
