//! The tags that spans of HTTP servers and clients have in all languages, for middleware: what to call with the request
//! when a span starts, and with the answer before it ends. They follow the options for error statuses, header tags, query
//! strings and the client's address (dd-trace-go: `instrumentation/httptrace`).
//!
//! ```
//! use datadog_trace::http::{self, Request};
//! # let agent = datadog_local_agent::LocalAgent::start().unwrap();
//! # let config = datadog_trace::DDConfig::builder().environment([("", "")]).agent_url(agent.url()).build().unwrap();
//! # let tracer = datadog_trace::Tracer::start(&config).unwrap();
//! # let request = ::http::Request::get("http://shop.example/cart/17?token=abc").body(()).unwrap();
//! let mut span = match tracer.extract(request.headers()) {
//!     Some(caller) => tracer.trace_from(&caller, "http.server.request"),
//!     None => tracer.trace("http.server.request"),
//! };
//! let request = Request::new(request.method(), request.uri(), request.headers());
//! http::server_request(&mut span, &request.route("/cart/{id}"));
//! # let answer = ::http::Response::new(());
//! http::server_response(&mut span, answer.status(), answer.headers());
//! # span.finish();
//! # tracer.flush(std::time::Duration::from_secs(1));
//! # let span = &agent.spans()[0];
//! # assert_eq!((&*span.resource, &*span.meta["http.url"]), ("GET /cart/{id}", "http://shop.example/cart/17?<redacted>"));
//! ```

mod client_ip;
mod header_tags;
mod query;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use datadog_config::DDConfig;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::{Span, SpanKind};
use client_ip::ClientIp;
use header_tags::HeaderTags;
use query::Query;

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    scheme: Option<&'a str>,
    route: Option<&'a str>,
    peer: Option<IpAddr>,
}

impl<'a> Request<'a> {
    /// A request with what every one has.
    pub fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self {
            method,
            uri,
            headers,
            scheme: None,
            route: None,
            peer: None,
        }
    }

    /// The route that the request was matched with, such as `/cart/{id}`.
    #[must_use]
    pub fn route(mut self, route: &'a str) -> Self {
        self.route = Some(route);
        self
    }

    /// `http` or `https`, where the URI does not say it. The default is `http`.
    #[must_use]
    pub fn scheme(mut self, scheme: &'a str) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// Where the request comes from: the other end of the connection.
    #[must_use]
    pub fn peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    fn host(&self) -> Option<&'a str> {
        let authority = self.uri.authority().map(|authority| {
            let text = authority.as_str();
            // A user and a password are nobody's business.
            text.rsplit_once('@').map_or(text, |(_, host)| host)
        });
        authority.or_else(|| self.headers.get(HOST)?.to_str().ok())
    }

    fn url(&self, query: &Query) -> String {
        let mut url = String::with_capacity(64);
        if let Some(host) = self.host() {
            let scheme = self.uri.scheme_str().or(self.scheme);
            url.push_str(scheme.unwrap_or("http"));
            url.push_str("://");
            url.push_str(host);
        }
        url.push_str(self.uri.path());
        if let Some(text) = self.uri.query().and_then(|text| query.shown(text)) {
            url.push('?');
            url.push_str(&text);
        }
        url
    }
}

/// Says on a span what a server was asked for: `http.method`, `http.url`, `http.host`, `http.useragent`, `http.route`,
/// configured headers, and if that is configured `http.client_ip` and `network.client.ip`. The span's resource becomes
/// method and route, or the method where there is no route.
pub fn server_request(span: &mut Span, request: &Request<'_>) {
    let Some(settings) = settings(span) else {
        return;
    };
    span.set_type("web").set_kind(SpanKind::Server);
    if let Some(host) = request.host() {
        span.set_tag("http.host", host);
    }
    if let Some(agent) = request
        .headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
    {
        span.set_tag("http.useragent", agent);
    }
    asked(span, request, &settings);
    match request.route {
        Some(route) => {
            span.set_tag("http.route", route);
            span.set_resource(format!("{} {route}", request.method));
        }
        None => {
            span.set_resource(request.method.to_string());
        }
    }
    if let Some(client_ip) = &settings.client_ip {
        if let Some(client) = client_ip.find(request.headers, request.peer) {
            span.set_tag("http.client_ip", client.to_string());
        }
        if let Some(peer) = request.peer {
            span.set_tag("network.client.ip", peer.to_string());
        }
    }
}

/// Says on a span what a server answered: `http.status_code`, configured headers, and whether that is an error. Returns
/// whether it is one, for middleware that knows more of it; `false` for the span of a tracer that is off.
pub fn server_response(span: &mut Span, status: StatusCode, headers: &HeaderMap) -> bool {
    settings(span)
        .is_some_and(|settings| answered(span, status, headers, &settings, &settings.server_errors))
}

/// Says on a span what a client asks for: `http.method`, `http.url`, `out.host`, `network.destination.name`,
/// `network.destination.port` and configured headers. The span's resource becomes the method.
pub fn client_request(span: &mut Span, request: &Request<'_>) {
    let Some(settings) = settings(span) else {
        return;
    };
    span.set_type("http").set_kind(SpanKind::Client);
    span.set_resource(request.method.to_string());
    asked(span, request, &settings);
    if let Some(host) = request.uri.host() {
        span.set_tag("out.host", host);
        span.set_tag("network.destination.name", host);
    }
    if let Some(port) = request.uri.port_u16() {
        span.set_tag("network.destination.port", port);
    }
}

/// Says on a span what a client was answered: `http.status_code`, configured headers, and whether that is an error. Returns
/// whether it is one, for middleware that knows more of it; `false` for the span of a tracer that is off.
pub fn client_response(span: &mut Span, status: StatusCode, headers: &HeaderMap) -> bool {
    settings(span)
        .is_some_and(|settings| answered(span, status, headers, &settings, &settings.client_errors))
}

/// What the options say.
#[derive(Debug)]
pub(crate) struct HttpSettings {
    server_errors: Vec<RangeInclusive<u16>>,
    client_errors: Vec<RangeInclusive<u16>>,
    header_tags: HeaderTags,
    query: Query,
    client_ip: Option<ClientIp>,
}

impl HttpSettings {
    pub(crate) fn new(config: &DDConfig) -> Self {
        let client_ip = config.client_ip_enabled();
        Self {
            server_errors: config.http_server_error_statuses().to_vec(),
            client_errors: config.http_client_error_statuses().to_vec(),
            header_tags: HeaderTags::new(config.header_tags()),
            query: Query::new(config),
            client_ip: client_ip.then(|| ClientIp::new(config.client_ip_header())),
        }
    }
}

/// `None` for the span of a tracer that is off.
fn settings(span: &Span) -> Option<Arc<HttpSettings>> {
    Some(Arc::clone(&span.trace()?.tracer.http))
}

fn asked(span: &mut Span, request: &Request<'_>, settings: &HttpSettings) {
    span.set_tag("http.method", request.method.as_str());
    span.set_tag("http.url", request.url(&settings.query));
    settings.header_tags.of_request(span, request.headers);
}

fn answered(
    span: &mut Span,
    status: StatusCode,
    headers: &HeaderMap,
    settings: &HttpSettings,
    errors: &[RangeInclusive<u16>],
) -> bool {
    span.set_tag("http.status_code", status.as_str());
    settings.header_tags.of_response(span, headers);
    let is_error = errors.iter().any(|range| range.contains(&status.as_u16()));
    if is_error {
        span.set_failure("http.status", &status.to_string());
    }
    is_error
}
