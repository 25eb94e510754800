//! The start of a request that a server takes, whatever its framework.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use datadog_trace::{Parent, Span, http as standard};
use http::{HeaderMap, Method, Uri};

use super::exchange::{Exchange, OnEnd, Side};
use super::grpc::{self, Call};
use crate::DDClient;
use crate::integrations::module::ModuleTracer;
use crate::patch::ModuleId;

/// What a server's requests have in common.
#[derive(Clone)]
pub(in crate::integrations) struct Incoming {
    tracer: ModuleTracer,
    /// For calls of gRPC.
    tonic: ModuleTracer,
    /// The name of the framework.
    pub(super) component: &'static str,
    /// Told of each request that is through.
    pub(in crate::integrations) on_end: Option<OnEnd>,
}

/// A request.
#[derive(Debug)]
pub(in crate::integrations) struct Asked<'a> {
    pub(in crate::integrations) method: &'a Method,
    pub(in crate::integrations) uri: &'a Uri,
    pub(in crate::integrations) headers: &'a HeaderMap,
    pub(in crate::integrations) route: Option<&'a str>,
    pub(in crate::integrations) peer: Option<IpAddr>,
    /// Whether it came through TLS, where the URI does not say it.
    pub(in crate::integrations) is_secure: bool,
}

impl Incoming {
    pub(in crate::integrations) fn new(
        client: &DDClient,
        module: ModuleId,
        component: &'static str,
    ) -> Self {
        Self {
            tracer: ModuleTracer::new(client, module),
            tonic: ModuleTracer::unused(client, ModuleId::Tonic),
            component,
            on_end: None,
        }
    }

    /// Whether nothing is told of requests.
    #[cfg(feature = "actix-web")]
    pub(in crate::integrations) fn is_idle(&self) -> bool {
        self.tracer.get().is_none() && self.on_end.is_none()
    }

    /// The span of a request, which continues the trace that its headers bring, and is else a child of the active span.
    pub(in crate::integrations) fn start(&self, request: &Asked<'_>) -> (Span, Exchange) {
        let &Asked {
            method,
            uri,
            headers,
            ..
        } = request;
        let call = Call::of(uri, headers);
        let route = match call {
            Some(_) => Some(uri.path()),
            None => request.route,
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
        // Within another layer, which took the trace from the same headers, this one's span is a child of that one's.
        let caller = tracer.extract(headers).filter(|caller| {
            let active = tracer.active_span();
            active.is_none_or(|active| active.trace_id() != caller.trace_id())
        });
        let parent = caller.as_ref().map_or(Parent::Active, Parent::Of);
        let name = match call {
            Some(_) => grpc::SERVER_NAME,
            None => "http.server.request",
        };
        let mut span = tracer.trace_detached(parent, name).attach();
        let mut asked = standard::Request::new(method, uri, headers);
        if let Some(route) = route {
            asked = asked.route(route);
        }
        if let Some(peer) = request.peer {
            asked = asked.peer(peer);
        }
        if request.is_secure {
            asked = asked.scheme("https");
        }
        standard::server_request(&mut span, &asked);
        span.set_tag("component", self.component);
        if let Some(call) = call {
            call.write(&mut span);
        }
        (span, exchange)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("component", &self.component)
            .field("on_end", &self.on_end.is_some())
            .finish_non_exhaustive()
    }
}
