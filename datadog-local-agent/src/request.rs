//! Requests as they came over the wire.

use std::fmt;
use std::sync::Arc;

/// One HTTP request, accepted or not.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// All headers.
    pub headers: Headers,
    /// The body as it was sent, so still compressed. Cut at the endpoint's size limit.
    pub body: Vec<u8>,
    /// The status answered; `None` when a fault kept the agent from answering or the client went away.
    pub status: Option<u16>,
    /// Over what kind of socket it came.
    pub transport: Transport,
    /// Number of the connection it came on, from 1, counted over TCP and Unix sockets together.
    pub connection: u64,
}

impl Request {
    /// The value of a header, by case-insensitive name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The path without the query.
    pub fn route(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// The kind of socket that an HTTP request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// A Unix stream socket.
    Unix,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        })
    }
}

/// The headers of a request in order; cheap to clone. Names are in lower case.
#[derive(Clone, Debug)]
pub struct Headers(Arc<[(String, String)]>);

impl Headers {
    pub(crate) fn of(map: &hyper::HeaderMap) -> Self {
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        map.iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect()
    }

    /// The first value of a header, by case-insensitive name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}

/// Something that was refused, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Where it came in: `POST /v0.4/traces`, `DogStatsD over UDP`.
    pub place: String,
    /// The status answered; `None` for datagrams and for requests that broke off.
    pub status: Option<u16>,
    /// What is wrong and where, for example
    /// ``chunk 0, span 2: field `duration`: expected a non-negative integer, got str``.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} → {status}: {}", self.place, self.reason),
            None => write!(f, "{}: {}", self.place, self.reason),
        }
    }
}

/// Why a payload was not accepted, and the status that says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Refused {
    pub(crate) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }

    /// Status 400: the payload is not what it has to be.
    pub(crate) fn bad(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }
}
