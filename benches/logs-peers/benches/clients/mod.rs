//! The clients that are compared, each with a receiver that costs next to nothing.

#![allow(dead_code, reason = "each bench uses a part")]

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datadog_config::{DDConfig, DDConfigBuilder};
use datadog_logs::Logs;
use datadog_transport::Standalone;
use datadog_transport::context::{self, ActiveSpan};
use log::Log;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLoggerProvider};
use sentry_core::protocol::EnvelopeItem;
use sentry_core::{Client, ClientOptions, Envelope, Hub, Transport, logger_info};
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;

pub(crate) const MESSAGE: &str = "order placed by a customer";

fn config() -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", ""); 0])
        .service("shop")
        .env("prod")
        .version("1.2.3")
        .hostname("box-17")
        .logs_output("/dev/null")
}

fn start(config: DDConfigBuilder) -> Standalone<Logs> {
    Logs::start(&config.build().unwrap()).unwrap()
}

pub(crate) fn logs() -> Standalone<Logs> {
    start(config())
}

/// To another output.
pub(crate) fn logs_to(output: &str) -> Standalone<Logs> {
    start(config().logs_output(output))
}

/// With rules that find nothing.
pub(crate) fn logs_scrubbing() -> Standalone<Logs> {
    start(config().logs_scrub_rules([
        (r"\b(?:\d[ -]?){15}\d\b", "[card]"),
        (r"[\w.+-]+@[\w-]+\.[\w.]+", "[mail]"),
        (r"(?i)bearer\s+[\w.~+/-]+=*", "[token]"),
    ]))
}

pub(crate) fn in_a_span<T>(work: impl FnOnce() -> T) -> T {
    let span = ActiveSpan {
        trace_id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        span_id: 1_234_567_890_123_456_789,
        local_root_id: 5,
    };
    let outer = context::replace(Some(span));
    let result = work();
    context::replace(outer);
    result
}

/// A line of the `log` macros with three key-values.
pub(crate) fn say(logger: &dyn Log, number: u64) {
    let pairs: &[(&str, log::kv::Value<'_>)] = &[
        ("order.id", number.into()),
        ("order.kind", "express".into()),
        ("ok", true.into()),
    ];
    logger.log(
        &log::Record::builder()
            .level(log::Level::Info)
            .target("shop::orders")
            .module_path_static(Some("shop::orders"))
            .file_static(Some("src/orders.rs"))
            .line(Some(12))
            .args(format_args!("order placed by a customer"))
            .key_values(&pairs)
            .build(),
    );
}

pub(crate) fn plain_logger(sink: impl io::Write + Send + 'static) -> env_logger::Logger {
    env_logger::Builder::new()
        .target(env_logger::Target::Pipe(Box::new(sink)))
        .filter_level(log::LevelFilter::Info)
        .build()
}

pub(crate) fn json_subscriber<W>(writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .with_writer(writer)
        .finish()
}

/// An event of `tracing` with three fields.
#[inline(always)]
pub(crate) fn trace(number: u64) {
    tracing::info!(
        order.id = number,
        order.kind = black_box("express"),
        ok = black_box(true),
        "order placed by a customer"
    );
}

/// How many records exporters got.
pub(crate) static EXPORTED: AtomicU64 = AtomicU64::new(0);

pub(crate) fn opentelemetry() -> SdkLoggerProvider {
    SdkLoggerProvider::builder()
        .with_batch_exporter(Nowhere)
        .build()
}

#[derive(Debug)]
struct Nowhere;

impl LogExporter for Nowhere {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        EXPORTED.fetch_add(batch.iter().count() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Its batches are written as the JSON of an envelope, as its HTTP transports do.
pub(crate) fn sentry() -> Arc<Hub> {
    let options = ClientOptions::new()
        .dsn("https://public@sentry.invalid/1")
        .transport(Arc::new(ToSink));
    let client = Arc::new(Client::from(options));
    Arc::new(Hub::new(Some(client), Arc::default()))
}

struct ToSink;

impl Transport for ToSink {
    fn send_envelope(&self, envelope: Envelope) {
        for item in envelope.items() {
            if let EnvelopeItem::ItemContainer(container) = item {
                EXPORTED.fetch_add(container.len() as u64, Ordering::Relaxed);
            }
        }
        envelope.to_writer(io::sink()).unwrap();
    }
}

/// A record of the current hub, with three attributes.
pub(crate) fn say_to_sentry(number: u64) {
    logger_info!(
        order.id = number,
        order.kind = "express",
        ok = true,
        "order placed by a customer"
    );
}
