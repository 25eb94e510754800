//! HTTP/1.1 with keep-alive, over TCP or a Unix socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
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

/// Answers are small.
const INPUT_BYTES: usize = 16 * 1024;

/// Bodies pass through in parts of this size, each of which costs two calls of the system.
const OUTPUT_BYTES: usize = 64 * 1024;

/// A pooled client of one server. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub(crate) struct HttpClient {
    connections: Arc<Connections>,
    base: String,
    /// What errors name: the URL or the socket's path.
    place: String,
    headers: Headers,
}

/// Connections that can be cut at any time, without an end for later ones.
struct Connections {
    open: Box<dyn Fn() -> Agent + Send + Sync>,
    pool: Mutex<Agent>,
    /// Whether requests end at once.
    cut: AtomicBool,
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
    /// The client is shutting down, and ended the request.
    Interrupted(String),
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
        Ok(Self {
            connections: Connections::new(move || {
                agent(
                    DefaultConnector::default(),
                    CachingResolver::default(),
                    proxy.clone(),
                )
            }),
            place: base.clone(),
            base,
            headers,
        })
    }

    /// A client of the server that listens on a Unix socket.
    pub(crate) fn unix(path: &Path, headers: Headers) -> Self {
        let path = PathBuf::from(path);
        Self {
            place: format!("unix://{}", path.display()),
            connections: Connections::new(move || {
                agent(UnixConnector::new(&path), NoResolver, None)
            }),
            base: "http://localhost".to_owned(),
            headers,
        }
    }

    /// Posts `body` and reads the answer, within `limit`.
    pub(crate) fn post(
        &self,
        path: &str,
        headers: &Headers,
        body: &[u8],
        limit: Duration,
    ) -> Result<Answer, SendError> {
        self.request(path, |agent, url| {
            let request = headers
                .iter()
                .chain(&self.headers)
                .fold(agent.post(url), |request, (name, value)| {
                    request.header(*name, value)
                });
            limited(request, limit).send(body)
        })
    }

    /// Gets a page, like [`HttpClient::post`].
    pub(crate) fn get(&self, path: &str, limit: Duration) -> Result<Answer, SendError> {
        self.request(path, |agent, url| {
            let request = self
                .headers
                .iter()
                .fold(agent.get(url), |request, (name, value)| {
                    request.header(*name, value)
                });
            limited(request, limit).call()
        })
    }

    fn request(
        &self,
        path: &str,
        send: impl FnOnce(&Agent, String) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, SendError> {
        let agent = self.connections.pool.lock().clone();
        let cut = || self.connections.cut.load(Ordering::Acquire);
        if cut() {
            return Err(SendError::Interrupted(format!("{}: shutdown", self.place)));
        }
        match send(&agent, format!("{}{path}", self.base)) {
            Ok(answer) => Ok(read(answer)),
            Err(_) if cut() => Err(SendError::Interrupted(format!("{}: shutdown", self.place))),
            Err(error) => Err(explain(error, &self.place)),
        }
    }

    /// Ends requests in flight and those to come, until [`HttpClient::resume`].
    pub(crate) fn interrupt(&self) {
        self.connections.cut.store(true, Ordering::Release);
        let fresh = (self.connections.open)();
        std::mem::replace(&mut *self.connections.pool.lock(), fresh).shutdown();
    }

    /// Lets requests through again.
    pub(crate) fn resume(&self) {
        self.connections.cut.store(false, Ordering::Release);
    }
}

impl Connections {
    fn new(open: impl Fn() -> Agent + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            pool: Mutex::new(open()),
            open: Box::new(open),
            cut: AtomicBool::new(false),
        })
    }
}

fn limited<B>(request: RequestBuilder<B>, limit: Duration) -> RequestBuilder<B> {
    request
        .config()
        .timeout_global(Some(limit))
        .timeout_connect(Some(limit.min(CONNECT_LIMIT)))
        .build()
}

/// Reads to the end, which is what lets the connection be used again. Once there is a status the receiver has
/// decided, so a body that does not come whole counts as an empty one: to send the payload again would double it.
fn read(answer: Response<Body>) -> Answer {
    let (parts, mut body) = answer.into_parts();
    let body = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.unwrap_or_default(),
    }
}

fn agent(connector: impl Connector, resolver: impl Resolver, proxy: Option<Proxy>) -> Agent {
    let config = Agent::config_builder();
    #[cfg(feature = "tls-native-roots")]
    let config = config.tls_config(
        ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build(),
    );
    let config = config
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(proxy)
        .user_agent(concat!("datadog-rust/", env!("CARGO_PKG_VERSION")))
        .input_buffer_size(INPUT_BYTES)
        .output_buffer_size(OUTPUT_BYTES)
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

    #[cfg(test)]
    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        use ureq::http::HeaderValue;
        self.headers.insert(name, HeaderValue::from_static(value));
        self
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

fn explain(error: ureq::Error, place: &str) -> SendError {
    use io::ErrorKind;
    let text = format!("{place}: {error}");
    match error {
        ureq::Error::Timeout(_) => SendError::TimedOut(text),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
                SendError::NotListening(format!("nothing listens on {place}: {error}"))
            }
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => SendError::Torn(text),
            ErrorKind::TimedOut => SendError::TimedOut(text),
            _ => SendError::Other(text),
        },
        _ => SendError::Other(text),
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The headers may hold an API key.
        f.debug_struct("HttpClient")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
