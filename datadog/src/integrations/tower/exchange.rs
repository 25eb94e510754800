//! What goes with a request until it is through, beside its span.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_trace::{Span, http as standard};
use http::{HeaderMap, Method, StatusCode};

use super::grpc;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::integrations) enum Side {
    Server,
    Client,
}

/// Told of each request that is through.
pub(in crate::integrations) type OnEnd = Arc<dyn Fn(&Ended<'_>) + Send + Sync>;

/// A request that is through.
#[derive(Debug)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "for metrics"))]
pub(in crate::integrations) struct Ended<'a> {
    pub(super) method: &'a Method,
    pub(super) route: Option<&'a str>,
    /// `None` if there was no response.
    pub(super) status: Option<u16>,
    pub(super) time: Duration,
}

#[derive(Debug)]
pub(in crate::integrations) struct Exchange {
    side: Side,
    is_grpc: bool,
    watch: Option<Watch>,
}

impl Exchange {
    pub(super) fn new(side: Side, is_grpc: bool) -> Self {
        Self {
            side,
            is_grpc,
            watch: None,
        }
    }

    pub(super) fn on_end(mut self, on_end: OnEnd, method: &Method, route: Option<&str>) -> Self {
        self.watch = Some(Watch {
            start: Instant::now(),
            method: method.clone(),
            route: route.map(str::to_owned),
            status: None,
            on_end,
        });
        self
    }

    /// Whether the span goes on until the body of the response has ended.
    pub(super) fn lasts_with_body(&self) -> bool {
        self.side == Side::Server || self.is_grpc
    }

    /// Notes the route that was found, where the request was not sure of one.
    #[cfg(feature = "actix-web")]
    pub(in crate::integrations) fn routed(&mut self, span: &mut Span, method: &str, route: &str) {
        span.set_tag("http.route", route)
            .set_resource(format!("{method} {route}"));
        if let Some(watch) = &mut self.watch {
            watch.route = Some(route.to_owned());
        }
    }

    /// Notes the head of the response. Returns whether it is an error.
    pub(in crate::integrations) fn answered(
        &mut self,
        span: &mut Span,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> bool {
        let failed = match self.side {
            Side::Server => standard::server_response(span, status, headers),
            Side::Client => standard::client_response(span, status, headers),
        };
        self.trailed(span, headers);
        if let Some(watch) = &mut self.watch {
            watch.status = Some(status.as_u16());
            // What does not exist, the other end thought up: metrics would have a route for each of its ideas.
            if self.is_grpc && (status != StatusCode::OK || grpc::is_unimplemented(headers)) {
                watch.route = None;
            }
        }
        failed
    }

    /// Notes the trailers of the response.
    pub(super) fn trailed(&self, span: &mut Span, trailers: &HeaderMap) {
        if self.is_grpc {
            grpc::answered(span, trailers);
        }
    }
}

struct Watch {
    start: Instant,
    method: Method,
    route: Option<String>,
    status: Option<u16>,
    on_end: OnEnd,
}

impl Drop for Watch {
    fn drop(&mut self) {
        (self.on_end)(&Ended {
            method: &self.method,
            route: self.route.as_deref(),
            status: self.status,
            time: self.start.elapsed(),
        });
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("method", &self.method)
            .field("route", &self.route)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn only_calls_that_exist_are_routes() {
        let routes = Arc::new(Mutex::new(Vec::new()));
        for (http, grpc) in [(200, "0"), (200, "5"), (200, "12"), (404, "0")] {
            let told = Arc::clone(&routes);
            let on_end: OnEnd = Arc::new(move |ended| {
                told.lock().unwrap().push(ended.route.map(str::to_owned));
            });
            let exchange = Exchange::new(Side::Server, true);
            let mut exchange = exchange.on_end(on_end, &Method::POST, Some("/shop/Buy"));
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", grpc.parse().unwrap());
            let status = StatusCode::from_u16(http).unwrap();
            exchange.answered(&mut Span::none(), status, &headers);
        }
        let known = || Some("/shop/Buy".to_owned());
        assert_eq!(*routes.lock().unwrap(), [known(), known(), None, None]);
    }
}
