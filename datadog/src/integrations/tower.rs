//! Layers for services of `tower` that take or send HTTP requests: axum, tonic, hyper.

mod body;
mod client;
mod exchange;
mod future;
mod grpc;
#[cfg(feature = "metrics")]
mod request_metrics;
mod server;

pub use body::SpanBody;
pub use client::{ClientLayer, ClientService};
pub use future::ResponseFuture;
pub use server::{ServerLayer, ServerService};
