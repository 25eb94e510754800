//! Tells how many of an item are left.

#![allow(clippy::print_stdout, reason = "says where it listens")]

use std::error::Error;

use axum::extract::Path;
use axum::{Router, routing::get};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _datadog = datadog::init_from_env()?;
    let client = datadog::client();
    client.log_handler().install()?;

    let address = std::env::args().nth(1).ok_or("usage: stock ADDRESS")?;
    let router = Router::new()
        .route("/stock/{item}", get(left))
        .layer(client.axum_layer().request_metrics(client));
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(until_stopped())
        .await?;
    Ok(())
}

async fn left(Path(item): Path<u32>) -> String {
    log::info!(item; "looked up");
    (item % 10).to_string()
}

async fn until_stopped() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        log::error!("can't be told to stop: {error}");
    }
}
