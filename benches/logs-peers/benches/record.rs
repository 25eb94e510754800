//! What a record costs on the thread that writes it.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends at the first surprise, and tells what was lost"
)]

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datadog_config::DDConfig;
use datadog_logs::{Level, Logs};
use datadog_transport::Standalone;
use datadog_transport::context::{self, ActiveSpan};
use log::Log;
use opentelemetry_appender_log::OpenTelemetryLogBridge;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLoggerProvider};
use tracing_subscriber::fmt::format::FmtSpan;

const MESSAGE: &str = "order placed by a customer";

fn logs() -> Standalone<Logs> {
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .service("shop")
        .env("prod")
        .version("1.2.3")
        .hostname("box-17")
        .logs_output("/dev/null");
    Logs::start(&config.build().unwrap()).unwrap()
}

fn in_a_span<T>(work: impl FnOnce() -> T) -> T {
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
fn say(logger: &dyn Log, number: u64) {
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

fn datadog(c: &mut Criterion) {
    let logs = logs();
    let mut group = c.benchmark_group("3 attributes in a span");
    in_a_span(|| {
        let mut number = 0_u64;
        group.bench_function("datadog-logs", |b| {
            b.iter(|| {
                number += 1;
                logs.log(Level::Info, black_box(MESSAGE))
                    .with("order.id", black_box(number))
                    .with("order.kind", black_box("express"))
                    .with("ok", black_box(true));
            });
        });
        let handler = logs.handler();
        group.bench_function("datadog-logs, log handler", |b| {
            b.iter(|| {
                number += 1;
                say(&handler, black_box(number));
            });
        });
    });
    group.finish();
    let quiet = logs.get_logger("shop").level(Level::Warning);
    c.bench_function("disabled level", |b| {
        b.iter(|| drop(black_box(&quiet).info(black_box(MESSAGE))));
    });
    let long = "the quick brown fox jumps over the lazy dog; ".repeat(700);
    let mut group = c.benchmark_group("encoding");
    group.throughput(Throughput::Bytes(long.len() as u64));
    group.bench_function("a message of 31 KB", |b| {
        b.iter(|| logs.log(Level::Info, black_box(&long)));
    });
    group.finish();
    println!("{}", logs.health());
}

fn peers(c: &mut Criterion) {
    let mut group = c.benchmark_group("3 attributes in a span");

    let plain = env_logger::Builder::new()
        .target(env_logger::Target::Pipe(Box::new(io::sink())))
        .filter_level(log::LevelFilter::Info)
        .build();
    let mut number = 0_u64;
    group.bench_function("env_logger to a sink", |b| {
        b.iter(|| {
            number += 1;
            say(&plain, black_box(number));
        });
    });

    let (writer, _guard) = tracing_appender::non_blocking(io::sink());
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_span_events(FmtSpan::NONE)
        .with_writer(writer)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("work");
        let _entered = span.enter();
        group.bench_function("tracing-subscriber JSON, non-blocking", |b| {
            b.iter(|| {
                number += 1;
                tracing::info!(
                    order.id = black_box(number),
                    order.kind = black_box("express"),
                    ok = black_box(true),
                    "order placed by a customer"
                );
            });
        });
    });

    let provider = SdkLoggerProvider::builder()
        .with_batch_exporter(Nowhere)
        .build();
    let bridge = OpenTelemetryLogBridge::new(&provider);
    group.bench_function("opentelemetry-appender-log, batched", |b| {
        b.iter(|| {
            number += 1;
            say(&bridge, black_box(number));
        });
    });
    group.finish();
}

#[derive(Debug)]
struct Nowhere;

impl LogExporter for Nowhere {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        black_box(batch.iter().count());
        Ok(())
    }
}

criterion_group!(benches, datadog, peers);
criterion_main!(benches);
