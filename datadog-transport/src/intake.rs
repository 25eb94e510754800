//! The client of a Datadog intake, which is sent to without an agent.

use std::net::IpAddr;
use std::time::Duration;

use datadog_config::{DDConfig, IntakeUrl};
use ureq::Proxy;

use crate::http::HttpClient;
use crate::{Answer, ContentEncoding, Headers, Payload, SendError, TransportError};

/// The time limit of one request: an intake is farther away than an agent.
const LIMIT: Duration = Duration::from_secs(10);

/// A Datadog intake, with the API key.
#[derive(Debug)]
pub struct IntakeClient {
    http: HttpClient,
}

impl IntakeClient {
    pub(crate) fn new(config: &DDConfig, url: &IntakeUrl) -> Result<Self, TransportError> {
        let mut headers = Headers::new();
        if let Some(key) = config.api_key() {
            headers.push(("DD-API-KEY", key.expose().to_owned()));
        }
        // An intake is on the Internet, and so behind the proxy that the environment names.
        let proxy = (!is_local(url.host())).then(Proxy::try_from_env).flatten();
        Ok(Self {
            http: HttpClient::tcp(url.to_string(), headers, proxy)?,
        })
    }

    /// The time limit of one request.
    pub fn limit(&self) -> Duration {
        LIMIT
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
        self.http.post(path, &payload.headers, &payload.body, limit)
    }

    /// Like [`IntakeClient::post`], with the body compressed where the feature `gzip` is on and the body is large enough to
    /// gain by it.
    ///
    /// # Errors
    ///
    /// Those of [`IntakeClient::post`].
    pub fn post_compressed(
        &self,
        path: &str,
        payload: &Payload,
        encoding: ContentEncoding,
        limit: Duration,
    ) -> Result<Answer, SendError> {
        let Some(body) = encoding.encode(&payload.body) else {
            return self.post(path, payload, limit);
        };
        let mut headers = payload.headers.clone();
        headers.push(("Content-Encoding", encoding.name().to_owned()));
        self.http.post(path, &headers, &body, limit)
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }
}

fn is_local(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || ip.is_ok_and(|ip: IpAddr| ip.is_loopback())
}
