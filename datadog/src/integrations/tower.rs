//! Layers for services of `tower` that take or send HTTP requests: axum, tonic, hyper.

mod body;
mod client;
mod exchange;
mod future;
mod grpc;
mod incoming;
#[cfg(feature = "metrics")]
mod request_metrics;
mod server;
mod service;

pub use body::SpanBody;
pub use client::{ClientLayer, ClientService};
pub use future::ResponseFuture;
pub use server::{ServerLayer, ServerService};
pub use service::SpanService;

#[cfg(feature = "actix-web")]
pub(super) use exchange::Exchange;
#[cfg(feature = "actix-web")]
pub(super) use incoming::{Asked, Incoming};
#[cfg(all(feature = "actix-web", feature = "metrics"))]
pub(super) use request_metrics::measure;
