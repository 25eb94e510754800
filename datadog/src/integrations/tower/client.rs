//! The layer for clients.

use datadog_trace::{Span, Tracer, http as standard};
use http::Request;
use tower_layer::Layer;

use super::exchange::{Exchange, Side};
use super::grpc::{self, Call};
use super::service::{SpanService, Start};
use crate::DDClient;
use crate::integrations::module::ModuleTracer;
use crate::patch::ModuleId;

/// A layer for clients that are services of `tower`, such as those of hyper and tonic, with a span for each request, whose
/// headers take the trace to the server.
///
/// Made by [`DDClient::tower_client_layer`].
///
/// The span is a child of the active span, is named `http.client.request`, and has the tags of
/// [`tracing::http`](crate::tracing::http). It ends when the head of the response is there, as the body is read at the
/// caller's pace. Calls of gRPC become `grpc.client.request`, and end with the trailers, which have the status.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    tracer: ModuleTracer,
}

impl DDClient {
    /// A layer for clients that are services of `tower`: see [`ClientLayer`].
    pub fn tower_client_layer(&self) -> ClientLayer {
        ClientLayer {
            tracer: ModuleTracer::new(self, ModuleId::HyperClient),
        }
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        SpanService::new(inner, self.clone())
    }
}

/// A service with a [`ClientLayer`].
pub type ClientService<S> = SpanService<S, ClientLayer>;

impl Start for ClientLayer {
    fn start<B>(&self, request: &mut Request<B>) -> (Span, Exchange) {
        start(self.tracer.get(), request)
    }
}

fn start<B>(tracer: Option<&Tracer>, request: &mut Request<B>) -> (Span, Exchange) {
    let call = Call::of(request.uri(), request.headers());
    let exchange = Exchange::new(Side::Client, call.is_some());
    let Some(tracer) = tracer else {
        return (Span::none(), exchange);
    };
    let name = match call {
        Some(_) => grpc::CLIENT_NAME,
        None => "http.client.request",
    };
    let mut span = tracer.trace(name);
    let asked = standard::Request::new(request.method(), request.uri(), request.headers());
    standard::client_request(&mut span, &asked);
    match call {
        Some(call) => call.write(&mut span),
        None => _ = span.set_tag("component", "tower"),
    }
    span.inject(request.headers_mut());
    (span, exchange)
}
