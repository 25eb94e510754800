//! Middleware and wrappers for other libraries, each behind the feature that has the library's name.
//!
//! Each is made by a method of [`DDClient`](crate::DDClient), may outlive the client, and then drops what it gets.

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tower")]
mod tower;

#[cfg(feature = "tower")]
pub use self::tower::{
    ClientLayer, ClientService, ResponseFuture, ServerLayer, ServerService, SpanBody,
};
