//! Middleware and wrappers for other libraries, each behind the feature that has the library's name.
//!
//! Each is made by a method of [`DDClient`](crate::DDClient), may outlive the client, and then drops what it gets.
//!
//! | library | feature | one line |
//! |---|---|---|
//! | axum 0.8 | `axum` | `.layer(client.axum_layer())` |
//! | actix-web 4 | `actix-web` | `.wrap(client.actix_web_middleware())` |
//! | servers of tower: tonic 0.14, hyper 1 | `tower` | `.layer(client.tower_server_layer())` |
//! | clients of tower: tonic 0.14, hyper 1 | `tower` | `.layer(client.tower_client_layer())` |
//! | reqwest 0.13 | `reqwest` | `client.reqwest_client(reqwest::Client::new())`, or `.with(client.reqwest_middleware())` |
//! | ureq 3 | `ureq` | `.middleware(client.ureq_middleware())` |
//! | redis 1 | `redis`, `redis-tokio` | `client.redis_connection(connection)` |
//! | tokio-postgres 0.7 | `tokio-postgres` | `client.postgres(&postgres).query(…)` |
//! | diesel 2.3 | `diesel` | `client.instrument_diesel()`, once for the process |

#[cfg(feature = "actix-web")]
mod actix_web;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "diesel")]
mod diesel;
#[cfg(any(
    feature = "diesel",
    feature = "redis",
    feature = "reqwest",
    feature = "tokio-postgres",
    feature = "tower",
    feature = "ureq"
))]
mod module;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "ureq")]
mod ureq;
#[cfg(any(
    feature = "redis-tokio",
    feature = "reqwest",
    feature = "tokio-postgres"
))]
mod watch;

#[cfg(feature = "actix-web")]
pub use self::actix_web::{ActixWebFuture, ActixWebMiddleware, ActixWebService};
#[cfg(feature = "redis")]
pub use self::redis::RedisConnection;
#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestMiddleware;
#[cfg(feature = "tokio-postgres")]
pub use self::tokio_postgres::PostgresClient;
#[cfg(feature = "tower")]
pub use self::tower::{
    ClientLayer, ClientService, ResponseFuture, ServerLayer, ServerService, SpanBody, SpanService,
};
#[cfg(feature = "ureq")]
pub use self::ureq::UreqMiddleware;
