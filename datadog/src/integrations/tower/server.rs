//! The layer for servers.

use std::net::IpAddr;
use std::sync::Arc;

use datadog_trace::Span;
use http::{Extensions, Request};
use tower_layer::Layer;

use super::exchange::Exchange;
use super::incoming::{Asked, Incoming};
use super::service::{SpanService, Start};
use crate::DDClient;
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
/// The span continues the trace that the headers of the request bring. Where they bring none, or the active span is of that
/// trace already, as with a layer around this one, it is a child of the active span. It is named `http.server.request` and has
/// the tags of [`tracing::http`](crate::tracing::http); its resource is the method with the matched route. What gRPC's content
/// type marks as a call becomes `grpc.server.request`, with service, method and status, and is failed by any status but `OK`
/// and `CANCELLED`, as in Datadog's other libraries (dd-trace-go: `contrib/google.golang.org/grpc`).
///
/// The span is active whenever the service or the body of its response is at work. It ends with the body of the response: when
/// the last part is out, when it fails, or when it is dropped. If the future of the response is dropped before there is one, as
/// when the other end hangs up, the span ends there, without a status. A panic marks it as failed and goes on.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    incoming: Incoming,
    route: fn(&Extensions) -> Option<&str>,
    peer: fn(&Extensions) -> Option<IpAddr>,
}

impl DDClient {
    /// A layer for servers that are services of `tower`: see [`ServerLayer`].
    pub fn tower_server_layer(&self) -> ServerLayer {
        self.modules().set_used(ModuleId::Tonic);
        ServerLayer::new(self, ModuleId::Tower, "tower")
    }
}

impl ServerLayer {
    pub(crate) fn new(client: &DDClient, module: ModuleId, component: &'static str) -> Self {
        Self {
            settings: Arc::new(Settings {
                incoming: Incoming::new(client, module, component),
                route: |_| None,
                peer: |_| None,
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
        Arc::make_mut(&mut self.settings).incoming.component = name;
        self
    }

    /// Measures requests, whether their traces are kept or not: a distribution `http.server.request.duration` in seconds,
    /// with the tags `http.request.method`, `http.route` and `http.response.status_code`, as OpenTelemetry's conventions have
    /// it: methods that are none of HTTP's count as `_OTHER`. A request without a response has no status, one without a route
    /// no route, and neither has a call of gRPC to what does not exist.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn request_metrics(mut self, client: &DDClient) -> Self {
        let on_end = super::request_metrics::measure(client);
        Arc::make_mut(&mut self.settings).incoming.on_end = Some(on_end);
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> ServerService<S> {
        SpanService::new(inner, self.clone())
    }
}

/// A service with a [`ServerLayer`].
pub type ServerService<S> = SpanService<S, ServerLayer>;

impl Start for ServerLayer {
    fn start<B>(&self, request: &mut Request<B>) -> (Span, Exchange) {
        let settings = &*self.settings;
        settings.incoming.start(&Asked {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            route: (settings.route)(request.extensions()),
            peer: (settings.peer)(request.extensions()),
            is_secure: false,
        })
    }
}
