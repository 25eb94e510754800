//! The layer for servers.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use datadog_trace::{FutureExt, Parent, Span, http as standard};
use http::{Extensions, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::SpanBody;
use super::exchange::{Exchange, OnEnd, Side};
use super::future::ResponseFuture;
use super::grpc::{self, Call};
use crate::DDClient;
use crate::integrations::module::ModuleTracer;
use crate::patch::ModuleId;

/// A layer for servers that are services of `tower`, with a span for each request.
///
/// Made by [`DDClient::tower_server_layer`], or for axum by `DDClient::axum_layer`.
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let agent = datadog_local_agent::LocalAgent::start()?;
/// # let config = datadog::DDConfig::builder().environment([("", "")]).agent_url(agent.url()).build()?;
/// # let client = datadog::DDClient::new(config)?;
/// let service = ServiceBuilder::new()
///     .layer(client.tower_server_layer())
///     .service(service_fn(|_: Request<String>| async {
///         Ok::<_, Infallible>(Response::new(String::new())) // in the span
///     }));
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// service.oneshot(Request::get("/cart/17").body(String::new())?).await?;
/// # Ok::<_, Box<dyn std::error::Error>>(()) })?;
/// # client.flush(std::time::Duration::from_secs(5));
/// # assert_eq!((&*agent.spans()[0].name, &*agent.spans()[0].resource), ("http.server.request", "GET"));
/// # Ok(()) }
/// ```
///
/// The span continues the trace that the headers of the request bring, and is otherwise a child of the active span, if there
/// is one. It is named `http.server.request` and has the tags of [`tracing::http`](crate::tracing::http); its resource
/// is the method with the matched route. What gRPC's content type marks as a call becomes `grpc.server.request`,
/// with service, method and status, and is failed by any status but `OK` and `CANCELLED`, as in Datadog's other
/// libraries (dd-trace-go: `contrib/google.golang.org/grpc`).
///
/// The span is active whenever the service or the body of its response is at work. It ends with the body of the response: when
/// the last part is out, when it fails, or when it is dropped. If the future of the response is dropped before there is one, as
/// when the other end hangs up, the span ends there, without a status. A panic marks it as failed and goes on.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    tracer: ModuleTracer,
    /// For calls of gRPC.
    tonic: ModuleTracer,
    component: &'static str,
    route: fn(&Extensions) -> Option<&str>,
    peer: fn(&Extensions) -> Option<IpAddr>,
    on_end: Option<OnEnd>,
}

impl DDClient {
    /// A layer for servers that are services of `tower`: see [`ServerLayer`].
    pub fn tower_server_layer(&self) -> ServerLayer {
        self.modules().set_used(ModuleId::Tonic);
        ServerLayer::new(self, ModuleId::Tower)
    }
}

impl ServerLayer {
    pub(crate) fn new(client: &DDClient, module: ModuleId) -> Self {
        Self {
            settings: Arc::new(Settings {
                tracer: ModuleTracer::new(client, module),
                tonic: ModuleTracer::unused(client, ModuleId::Tonic),
                component: "tower",
                route: |_| None,
                peer: |_| None,
                on_end: None,
            }),
        }
    }

    /// Says how to find the route that a request was matched with, such as `/cart/{id}`, in its extensions. The default
    /// finds none.
    #[must_use]
    pub fn route(mut self, find: fn(&Extensions) -> Option<&str>) -> Self {
        Arc::make_mut(&mut self.settings).route = find;
        self
    }

    /// Says how to find the other end of the connection in the extensions of a request. The default finds none.
    #[must_use]
    pub fn peer(mut self, find: fn(&Extensions) -> Option<IpAddr>) -> Self {
        Arc::make_mut(&mut self.settings).peer = find;
        self
    }

    /// Sets the tag `component`: the name of the framework. The default is `tower`, and of a call of gRPC `grpc`.
    #[must_use]
    pub fn component(mut self, name: &'static str) -> Self {
        Arc::make_mut(&mut self.settings).component = name;
        self
    }

    /// Calls `on_end` when a request is through.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "for metrics"))]
    pub(super) fn on_end(mut self, on_end: OnEnd) -> Self {
        Arc::make_mut(&mut self.settings).on_end = Some(on_end);
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> ServerService<S> {
        ServerService {
            inner,
            settings: Arc::clone(&self.settings),
        }
    }
}

/// A service with a [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct ServerService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for ServerService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display,
    R: Body,
    R::Error: Display,
{
    type Response = Response<SpanBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (span, exchange) = self.settings.start(&request);
        let answer = self.inner.call(request);
        ResponseFuture::new(answer.in_span(span), exchange)
    }
}

impl Settings {
    fn start<B>(&self, request: &Request<B>) -> (Span, Exchange) {
        let (method, headers) = (request.method(), request.headers());
        let call = Call::of(request.uri(), headers);
        let route = match call {
            Some(_) => Some(request.uri().path()),
            None => (self.route)(request.extensions()),
        };
        let exchange = Exchange::new(Side::Server, call.is_some());
        let exchange = match &self.on_end {
            Some(on_end) => exchange.on_end(Arc::clone(on_end), method, route),
            None => exchange,
        };
        let tracer = match call {
            Some(_) => self.tonic.get(),
            None => self.tracer.get(),
        };
        let Some(tracer) = tracer else {
            return (Span::none(), exchange);
        };
        let caller = tracer.extract(headers);
        let parent = caller.as_ref().map_or(Parent::Active, Parent::Of);
        let name = match call {
            Some(_) => grpc::SERVER_NAME,
            None => "http.server.request",
        };
        let mut span = tracer.trace_detached(parent, name).attach();
        let mut asked = standard::Request::new(method, request.uri(), headers);
        if let Some(route) = route {
            asked = asked.route(route);
        }
        if let Some(peer) = (self.peer)(request.extensions()) {
            asked = asked.peer(peer);
        }
        standard::server_request(&mut span, &asked);
        span.set_tag("component", self.component);
        if let Some(call) = call {
            call.write(&mut span);
        }
        (span, exchange)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("component", &self.component)
            .field("on_end", &self.on_end.is_some())
            .finish_non_exhaustive()
    }
}
