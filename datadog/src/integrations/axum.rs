//! What axum tells of a request (axum 0.8).

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, MatchedPath};
use http::Extensions;

use super::ServerLayer;
use crate::DDClient;
use crate::patch::ModuleId;

impl DDClient {
    /// The [layer for servers](ServerLayer) that knows axum's routes, and if the router is served with
    /// `into_make_service_with_connect_info::<SocketAddr>()` where requests come from:
    ///
    /// ```
    /// # async fn cart() {}
    /// # fn app(client: &datadog::DDClient) -> axum::Router {
    /// axum::Router::new()
    ///     .route("/cart/{id}", axum::routing::get(cart))
    ///     .layer(client.axum_layer())
    /// # }
    /// ```
    ///
    /// Only the routes above the line with the layer have it. Put around the whole router instead, it would not know the
    /// routes.
    pub fn axum_layer(&self) -> ServerLayer {
        ServerLayer::new(self, ModuleId::Axum, "axum")
            .route(matched_path)
            .peer(connected_to)
    }
}

fn matched_path(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

fn connected_to(extensions: &Extensions) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.ip())
}
