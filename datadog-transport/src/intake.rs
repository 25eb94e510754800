//! The client of a Datadog intake, which is sent to without an agent.

use std::net::IpAddr;
use std::time::Duration;

use datadog_config::{DDConfig, IntakeUrl};
use ureq::Proxy;

use crate::http::HttpClient;
use crate::{Answer, Headers, Payload, SendError, TransportError};

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

    /// Like [`IntakeClient::post`], with the body compressed by gzip where the feature `gzip` is on and the body is
    /// large enough to gain by it.
    ///
    /// # Errors
    ///
    /// Those of [`IntakeClient::post`].
    pub fn post_compressed(
        &self,
        path: &str,
        payload: &Payload,
        limit: Duration,
    ) -> Result<Answer, SendError> {
        #[cfg(feature = "gzip")]
        if payload.body.len() >= gzip::WORTHWHILE {
            let mut headers = payload.headers.clone();
            headers.push(("Content-Encoding", "gzip".to_owned()));
            let body = gzip::compress(&payload.body)
                .map_err(|error| SendError::Other(error.to_string()))?;
            return self.http.post(path, &headers, &body, limit);
        }
        self.post(path, payload, limit)
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }
}

fn is_local(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || ip.is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(feature = "gzip")]
mod gzip {
    use std::io::{self, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    /// A smaller body fits into one or two packets anyway, and so arrives no sooner for being compressed.
    pub(super) const WORTHWHILE: usize = 1024;

    pub(super) fn compress(body: &[u8]) -> io::Result<Vec<u8>> {
        // The fastest level: it shares the worker with the other signals.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body)?;
        encoder.finish()
    }
}
