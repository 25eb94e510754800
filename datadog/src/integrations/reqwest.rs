//! Requests of reqwest 0.13, through reqwest-middleware 0.5.

use datadog_trace::{DetachedSpan, Span, Tracer, http as standard};
use http::{Extensions, Uri};
use reqwest::{Client, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error, Middleware, Next};

use super::module::ModuleTracer;
use super::watch::watch;
use crate::DDClient;
use crate::patch::ModuleId;

/// A middleware for `reqwest` with a span for each request, whose headers take the trace to the server.
///
/// [`DDClient::reqwest_client`] makes a client with it. Beside other middleware:
///
/// ```
/// # fn web(client: &datadog::DDClient) -> reqwest_middleware::ClientWithMiddleware {
/// reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(client.reqwest_middleware())
///     .build()
/// # }
/// ```
///
/// The span is a child of the active span, is named `http.client.request`, and has the tags of
/// [`tracing::http`](crate::tracing::http). It ends when the head of the response is there, redirects included.
/// Added after a middleware that tries again, it is a span for each try.
#[derive(Clone, Debug)]
pub struct ReqwestMiddleware {
    tracer: ModuleTracer,
}

impl DDClient {
    /// A middleware for `reqwest`: see [`ReqwestMiddleware`].
    pub fn reqwest_middleware(&self) -> ReqwestMiddleware {
        ReqwestMiddleware {
            tracer: ModuleTracer::new(self, ModuleId::Reqwest),
        }
    }

    /// A client of `reqwest` with the [middleware](ReqwestMiddleware), and no other.
    pub fn reqwest_client(&self, web: Client) -> ClientWithMiddleware {
        ClientBuilder::new(web)
            .with(self.reqwest_middleware())
            .build()
    }
}

#[async_trait::async_trait]
impl Middleware for ReqwestMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let Some(tracer) = self.tracer.get() else {
            return next.run(request, extensions).await;
        };
        let span = start(tracer, &mut request);
        watch(span, next.run(request, extensions), answered).await
    }
}

fn start(tracer: &Tracer, request: &mut Request) -> DetachedSpan {
    let mut span = tracer.trace("http.client.request");
    let uri: Uri = request.url().as_str().parse().unwrap_or_default();
    let asked = standard::Request::new(request.method(), &uri, request.headers());
    standard::client_request(&mut span, &asked);
    span.set_tag("component", "reqwest");
    span.inject(request.headers_mut());
    span.detach()
}

fn answered(span: &mut Span, answer: &reqwest_middleware::Result<Response>) {
    match answer {
        Ok(response) => {
            standard::client_response(span, response.status(), response.headers());
        }
        // What it says itself has the URL with its query. Why it failed has not.
        Err(Error::Reqwest(error)) => match std::error::Error::source(error) {
            Some(cause) => _ = span.set_error(cause),
            None => _ = span.set_failure("reqwest::Error", "the request failed"),
        },
        Err(Error::Middleware(error)) => {
            span.set_failure("reqwest_middleware::Error", &error.to_string());
        }
    }
}
