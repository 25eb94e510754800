//! Requests of ureq 3.

use datadog_trace::{Span, http as standard};
use http::{HeaderMap, Request, Response, StatusCode};
use ureq::middleware::{Middleware, MiddlewareNext};
use ureq::{Body, Error, SendBody};

use super::module::ModuleTracer;
use crate::DDClient;
use crate::patch::ModuleId;

/// A middleware for `ureq` with a span for each request, whose headers take the trace to the server.
///
/// ```
/// # fn web(client: &datadog::DDClient) -> ureq::Agent {
/// ureq::Agent::config_builder()
///     .middleware(client.ureq_middleware())
///     .build()
///     .into()
/// # }
/// ```
///
/// The span is a child of the active span, is named `http.client.request`, and has the tags of
/// [`tracing::http`](crate::tracing::http). It ends when the head of the response is there, redirects included.
#[derive(Clone, Debug)]
pub struct UreqMiddleware {
    tracer: ModuleTracer,
}

impl DDClient {
    /// A middleware for `ureq`: see [`UreqMiddleware`].
    pub fn ureq_middleware(&self) -> UreqMiddleware {
        UreqMiddleware {
            tracer: ModuleTracer::new(self, ModuleId::Ureq),
        }
    }
}

impl Middleware for UreqMiddleware {
    fn handle(
        &self,
        mut request: Request<SendBody<'_>>,
        next: MiddlewareNext<'_>,
    ) -> Result<Response<Body>, Error> {
        let Some(tracer) = self.tracer.get() else {
            return next.handle(request);
        };
        let mut span = tracer.trace("http.client.request");
        let asked = standard::Request::new(request.method(), request.uri(), request.headers());
        standard::client_request(&mut span, &asked);
        span.set_tag("component", "ureq");
        span.inject(request.headers_mut());
        let answer = next.handle(request);
        answered(&mut span, &answer);
        answer
    }
}

fn answered(span: &mut Span, answer: &Result<Response<Body>, Error>) {
    match answer {
        Ok(response) => {
            standard::client_response(span, response.status(), response.headers());
        }
        // A response all the same, unless the agent is told not to make errors of them.
        Err(Error::StatusCode(status)) => {
            if let Ok(status) = StatusCode::from_u16(*status) {
                standard::client_response(span, status, &HeaderMap::new());
            }
        }
        // These have the URL with its query.
        Err(Error::BadUri(_)) => _ = span.set_failure("ureq::Error", "bad uri"),
        Err(Error::RequireHttpsOnly(_)) => {
            span.set_failure("ureq::Error", "configured for https only");
        }
        Err(error) => _ = span.set_error(error),
    }
}
