//! HTTP/1.1 with keep-alive, over TCP or a Unix socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use ureq::http::{HeaderMap, Response};
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{Connector, DefaultConnector};
use ureq::{Agent, Body, Proxy, RequestBuilder};

use crate::TransportError;
use crate::resolve::{CachingResolver, NoResolver};
use crate::unix::UnixConnector;

/// Headers of one request.
pub type Headers = Vec<(&'static str, String)>;

/// The largest answer that is read. The agent's rates and `/info` are a few KB.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A connection has to be made within this time, whatever the request's limit.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The agent closes connections that were idle for 5 s (datadog-agent: `pkg/trace/api/api.go`): give them up before.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// Requests are written by one thread at a time, so small buffers do: bodies pass through without being copied whole.
const BUFFER_BYTES: usize = 16 * 1024;

/// A pooled client of one server. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    agent: Agent,
    base: String,
    headers: Headers,
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// Nothing listens at the address or socket path.
    NotListening(String),
    /// The connection broke before the answer came.
    Torn(String),
    /// The time limit passed.
    TimedOut(String),
    /// Anything else, such as a host name that does not resolve.
    Other(String),
}

impl HttpClient {
    /// A client of the server at `base`, such as `http://localhost:8126/prefix`, that sends `headers` with each
    /// request.
    pub(crate) fn tcp(
        base: String,
        headers: Headers,
        proxy: Option<Proxy>,
    ) -> Result<Self, TransportError> {
        if base.starts_with("https:") && !cfg!(feature = "tls") {
            return Err(TransportError::TlsMissing { url: base });
        }
        let agent = agent(
            DefaultConnector::default(),
            CachingResolver::default(),
            proxy,
        );
        Ok(Self {
            agent,
            base,
            headers,
        })
    }

    /// A client of the server that listens on a Unix socket.
    pub(crate) fn unix(path: &Path, headers: Headers) -> Self {
        let agent = agent(UnixConnector::new(path), NoResolver, None);
        Self {
            agent,
            base: "http://localhost".to_owned(),
            headers,
        }
    }

    /// Posts `body` and reads the whole answer, within `limit`. A connection that the server closed while it was
    /// idle costs one more try on a fresh one.
    pub(crate) fn post(
        &self,
        path: &str,
        headers: &Headers,
        body: &[u8],
        limit: Duration,
    ) -> Result<Answer, SendError> {
        twice(|| {
            let request = self.agent.post(format!("{}{path}", self.base));
            let request = self
                .headers
                .iter()
                .chain(headers)
                .fold(request, |request, (name, value)| {
                    request.header(*name, value)
                });
            read(limited(request, limit).send(body)?)
        })
    }

    /// Gets a page, like [`HttpClient::post`].
    pub(crate) fn get(&self, path: &str, limit: Duration) -> Result<Answer, SendError> {
        twice(|| {
            let request = self.agent.get(format!("{}{path}", self.base));
            let request = self.headers.iter().fold(request, |request, (name, value)| {
                request.header(*name, value)
            });
            read(limited(request, limit).call()?)
        })
    }

    /// Ends requests in flight, and refuses new ones.
    pub(crate) fn interrupt(&self) {
        self.agent.clone().shutdown();
    }
}

fn twice(mut request: impl FnMut() -> Result<Answer, SendError>) -> Result<Answer, SendError> {
    match request() {
        Err(SendError::Torn(_)) => request(),
        result => result,
    }
}

fn limited<B>(request: RequestBuilder<B>, limit: Duration) -> RequestBuilder<B> {
    request
        .config()
        .timeout_global(Some(limit))
        .timeout_connect(Some(limit.min(CONNECT_LIMIT)))
        .build()
}

/// Reads to the end, which is what lets the connection be used again.
fn read(answer: Response<Body>) -> Result<Answer, SendError> {
    let (parts, mut body) = answer.into_parts();
    let body = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}

fn agent(connector: impl Connector, resolver: impl Resolver, proxy: Option<Proxy>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(concat!("datadog-rust/", env!("CARGO_PKG_VERSION")))
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_idle_age(MAX_IDLE)
        .max_idle_connections(2)
        .build();
    Agent::with_parts(config, connector, resolver)
}

impl Answer {
    #[cfg(test)]
    pub(crate) fn of_status(status: u16) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's value, if there is one and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The whole body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl From<ureq::Error> for SendError {
    fn from(error: ureq::Error) -> Self {
        use io::ErrorKind;
        let text = error.to_string();
        match error {
            ureq::Error::Timeout(_) => Self::TimedOut(text),
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => Self::NotListening(text),
                ErrorKind::BrokenPipe
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::NotConnected
                | ErrorKind::UnexpectedEof => Self::Torn(text),
                ErrorKind::TimedOut => Self::TimedOut(text),
                _ => Self::Other(text),
            },
            _ => Self::Other(text),
        }
    }
}
