//! A shop that keeps its orders in SQLite, and asks a second process, `stock`, what is left. The lines with `datadog`,
//! `client`, `tracing` or `middleware` in them are all that Datadog takes.
//!
//! ```sh
//! cargo run --package datadog-local-agent & # receives at the usual ports, and shows it
//! cargo build --package shop
//! DD_SERVICE=stock target/debug/stock 127.0.0.1:8001 &
//! DD_SERVICE=shop target/debug/shop 127.0.0.1:8000 http://127.0.0.1:8001 &
//! curl -X POST http://127.0.0.1:8000/buy/17
//! ```

#![allow(clippy::print_stdout, reason = "says where it listens")]

use std::error::Error;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Router, routing::post};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tokio::net::TcpListener;

const DATABASE: &str = "sqlite::memory:";

#[derive(Clone)]
struct Shop {
    orders: SqlitePool,
    web: reqwest_middleware::ClientWithMiddleware,
    stock: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let _datadog = datadog::init_from_env()?;
    let client = datadog::client();
    client.log_handler().install()?;
    client.tracing_layer().sqlx_database(DATABASE).install()?;

    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(stock)) = (arguments.next(), arguments.next()) else {
        return Err("usage: shop ADDRESS URL-OF-STOCK".into());
    };
    // More connections would each have a database in memory of their own.
    let orders = SqlitePoolOptions::new()
        .max_connections(1)
        .connect(DATABASE)
        .await?;
    sqlx::query("CREATE TABLE orders (item INTEGER)")
        .execute(&orders)
        .await?;
    let web = client.reqwest_client(reqwest::Client::new());
    let router = Router::new()
        .route("/buy/{item}", post(buy))
        .layer(client.axum_layer().request_metrics(client))
        .with_state(Shop { orders, web, stock });

    let listener = TcpListener::bind(address).await?;
    log::info!("listening at {}", listener.local_addr()?);
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(until_stopped())
        .await?;
    Ok(())
}

// SQLite has a thread of its own, which knows of the request by this span.
#[tracing::instrument(skip_all)]
async fn buy(State(shop): State<Shop>, Path(item): Path<u32>) -> Result<String, StatusCode> {
    let unavailable = |error: &dyn Error| {
        log::error!(item; "the stock does not answer: {error}");
        StatusCode::BAD_GATEWAY
    };
    let asked = shop
        .web
        .get(format!("{}/stock/{item}", shop.stock))
        .send()
        .await;
    let answer = asked.map_err(|error| unavailable(&error))?;
    let left = answer.text().await.map_err(|error| unavailable(&error))?;
    sqlx::query("INSERT INTO orders (item) VALUES (?)")
        .bind(item)
        .execute(&shop.orders)
        .await
        .map_err(|error| {
            log::error!(item; "not sold: {error}");
            StatusCode::INTERNAL_SERVER_ERROR
        })?;
    log::info!(item; "sold");
    datadog::count!("orders", 1, "shop" => "main");
    Ok(left)
}

async fn until_stopped() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        log::error!("can't be told to stop: {error}");
    }
}
