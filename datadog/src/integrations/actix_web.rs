//! Requests that actix-web 4 serves.

mod body;
mod convert;

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use datadog_trace::{FutureExt, InSpan, Span};
use http::{HeaderMap, StatusCode};
use pin_project_lite::pin_project;

use super::tower::{Asked, Exchange, Incoming, SpanBody};
use crate::DDClient;
use crate::patch::ModuleId;

/// A middleware for `actix-web` with a span for each request.
///
/// Made by [`DDClient::actix_web_middleware`].
///
/// ```no_run
/// use actix_web::{App, HttpServer, web};
///
/// async fn cart(id: web::Path<u64>) -> String {
///     format!("cart {id}") // in the span
/// }
///
/// # async fn serve(client: datadog::DDClient) -> std::io::Result<()> {
/// HttpServer::new(move || {
///     App::new()
///         .route("/cart/{id}", web::get().to(cart))
///         .wrap(client.actix_web_middleware()) // last, so around the other middleware
/// })
/// .bind(("0.0.0.0", 8080))?
/// .run()
/// .await
/// # }
/// ```
///
/// The span is that of the [layer for servers](super::ServerLayer): it continues the trace that the headers of the request
/// bring, is named `http.server.request`, and has the tags of [`tracing::http`](crate::tracing::http); its resource is
/// the method with the pattern that matched. It is active whenever the handler, other middleware inside of this one, or the
/// body of the response is at work, and ends with the body; of a WebSocket, with
/// the answer that begins it. A handler's error is the span's, where its status counts as one.
///
/// Beside it, the layer for `tracing` leaves the spans out that the crate `tracing-actix-web` makes by its default builder.
/// Those that a builder of the program's makes stay: then there are two spans a request.
#[derive(Clone, Debug)]
pub struct ActixWebMiddleware {
    incoming: Arc<Incoming>,
}

impl DDClient {
    /// A middleware for `actix-web`: see [`ActixWebMiddleware`].
    pub fn actix_web_middleware(&self) -> ActixWebMiddleware {
        ActixWebMiddleware {
            incoming: Arc::new(Incoming::new(self, ModuleId::ActixWeb, "actix-web")),
        }
    }
}

impl ActixWebMiddleware {
    /// Measures requests, as [`ServerLayer::request_metrics`](super::ServerLayer::request_metrics) does.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn request_metrics(mut self, client: &DDClient) -> Self {
        Arc::make_mut(&mut self.incoming).on_end = Some(super::tower::measure(client));
        self
    }
}

impl<S, B> Transform<S, ServiceRequest> for ActixWebMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<SpanBody<B>>;
    type Error = Error;
    type Transform = ActixWebService<S>;
    type InitError = ();
    type Future = Ready<Result<ActixWebService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(ActixWebService {
            inner,
            incoming: Arc::clone(&self.incoming),
        }))
    }
}

/// A service with an [`ActixWebMiddleware`].
#[derive(Clone, Debug)]
pub struct ActixWebService<S> {
    inner: S,
    incoming: Arc<Incoming>,
}

impl<S, B> Service<ServiceRequest> for ActixWebService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<SpanBody<B>>;
    type Error = Error;
    type Future = ActixWebFuture<S::Future>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (span, open) = if self.incoming.is_idle() {
            (Span::none(), None)
        } else {
            let route = request.match_pattern();
            let (span, exchange) = start(&self.incoming, &request, route.as_deref());
            (span, Some(Open { exchange, route }))
        };
        let answer = self.inner.call(request);
        ActixWebFuture {
            answer: answer.in_span(span),
            open,
        }
    }
}

pin_project! {
    /// The response of a service with an [`ActixWebMiddleware`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ActixWebFuture<F> {
        #[pin]
        answer: InSpan<F>,
        // `None` where there is nothing to tell.
        open: Option<Open>,
    }
}

/// What goes with a request until its response.
#[derive(Debug)]
struct Open {
    exchange: Exchange,
    route: Option<String>,
}

impl<F, B> Future for ActixWebFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<SpanBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let open = this.open;
        this.answer
            .poll_and(task, |answer, span| match (answer, open.take()) {
                (Ok(response), Some(open)) => Ok(open.answered(span, response)),
                (Err(error), Some(open)) => Err(open.failed(span, error)),
                (answer, None) => {
                    answer.map(|response| response.map_body(|_, body| SpanBody::new(body, None)))
                }
            })
    }
}

fn start(incoming: &Incoming, request: &ServiceRequest, route: Option<&str>) -> (Span, Exchange) {
    incoming.start(&Asked {
        method: &convert::method(request.method()),
        uri: &convert::uri(request.uri()),
        headers: &convert::headers(request.headers()),
        route,
        peer: request.peer_addr().map(|peer| peer.ip()),
        is_secure: request.app_config().secure(),
    })
}

impl Open {
    fn answered<B: MessageBody>(
        mut self,
        mut span: Span,
        response: ServiceResponse<B>,
    ) -> ServiceResponse<SpanBody<B>> {
        // Guards, which may send a request elsewhere than its path says, were asked on the way.
        let route = response.request().match_pattern();
        if let Some(route) = route.filter(|route| Some(route) != self.route.as_ref()) {
            let method = response.request().method().as_str();
            self.exchange.routed(&mut span, method, &route);
        }
        let status = convert::status(response.status());
        let headers = convert::headers(response.headers());
        let is_error = self.exchange.answered(&mut span, status, &headers);
        if let Some(error) = response.response().error().filter(|_| is_error) {
            tell(&mut span, error);
        }
        // What follows a switch of protocols is no response.
        let more =
            status != StatusCode::SWITCHING_PROTOCOLS && has_parts(response.response().body());
        let open = more.then(|| (span.detach(), self.exchange));
        response.map_body(|_, body| SpanBody::new(body, open))
    }

    /// An error that other middleware passes on becomes a response outside of this one.
    fn failed(mut self, mut span: Span, error: Error) -> Error {
        let status = convert::status(error.as_response_error().status_code());
        if self.exchange.answered(&mut span, status, &HeaderMap::new()) {
            tell(&mut span, &error);
        }
        error
    }
}

/// The error by the name that it has itself: actix-web's own type is around all of them.
fn tell(span: &mut Span, error: &Error) {
    span.set_error::<dyn std::error::Error>(error);
}

fn has_parts(body: &impl MessageBody) -> bool {
    !matches!(body.size(), BodySize::None | BodySize::Sized(0))
}
