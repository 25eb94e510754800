//! What a record costs on the thread that writes it.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a bench ends at the first surprise, and tells what was lost"
)]

mod clients;

use std::hint::black_box;
use std::io;

use clients::{
    MESSAGE, in_a_span, json_subscriber, logs, logs_scrubbing, opentelemetry, plain_logger, say,
    say_to_sentry, sentry,
};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use datadog_logs::{Level, Logs};
use opentelemetry_appender_log::OpenTelemetryLogBridge;
use sentry_core::Hub;

fn with_attributes(logs: &Logs, number: u64) {
    logs.log(Level::Info, black_box(MESSAGE))
        .with("order.id", black_box(number))
        .with("order.kind", black_box("express"))
        .with("ok", black_box(true));
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("log record, 3 attributes in a span");
    let mut number = 0_u64;
    let mut next = move || {
        number += 1;
        black_box(number)
    };

    let logs = logs();
    in_a_span(|| {
        group.bench_function("datadog", |b| b.iter(|| with_attributes(&logs, next())));
        let handler = logs.handler();
        group.bench_function("datadog, through log", |b| b.iter(|| say(&handler, next())));
        let scrubbing = logs_scrubbing();
        group.bench_function("datadog, 3 scrub rules", |b| {
            b.iter(|| with_attributes(&scrubbing, next()));
        });
    });

    let plain = plain_logger(io::sink());
    group.bench_function("env_logger to a sink", |b| b.iter(|| say(&plain, next())));

    let (writer, _guard) = tracing_appender::non_blocking(io::sink());
    tracing::subscriber::with_default(json_subscriber(writer), || {
        let span = tracing::info_span!("work");
        let _entered = span.enter();
        group.bench_function("tracing-subscriber JSON to tracing-appender", |b| {
            b.iter(|| clients::trace(next()));
        });
    });

    let provider = opentelemetry();
    let bridge = OpenTelemetryLogBridge::new(&provider);
    group.bench_function("opentelemetry-appender-log, batched", |b| {
        b.iter(|| say(&bridge, next()));
    });

    Hub::run(sentry(), || {
        group.bench_function("sentry-core logs, batched", |b| {
            b.iter(|| say_to_sentry(next()));
        });
    });

    group.finish();
    eprintln!("{}", logs.health());
}

fn disabled(c: &mut Criterion) {
    let mut group = c.benchmark_group("log record at a disabled level");
    let logs = logs();
    let quiet = logs.get_logger("shop").level(Level::Warning);
    group.bench_function("datadog", |b| {
        b.iter(|| drop(black_box(&quiet).info(MESSAGE)));
    });
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::WARN)
        .with_writer(io::sink)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        group.bench_function("tracing", |b| b.iter(|| clients::trace(black_box(1))));
    });
    // Nothing set a level.
    group.bench_function("log", |b| b.iter(|| log::info!("{MESSAGE}")));
    group.finish();
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("log message of 31 KB");
    let plain = "the quick brown fox jumps over the lazy dog; ".repeat(700);
    long_messages(&mut group, "", &plain);
    let quoted = "{\"fox\": \"quick, brown\", \"dog\": \"lazy\"}\n     ".repeat(700);
    long_messages(&mut group, ", every 9th byte escaped", &quoted);
    group.finish();
}

fn long_messages(group: &mut BenchmarkGroup<'_, WallTime>, what: &str, message: &str) {
    group.throughput(Throughput::Bytes(message.len() as u64));
    let logs = logs();
    group.bench_function(format!("datadog{what}"), |b| {
        b.iter(|| logs.log(Level::Info, black_box(message)));
    });
    tracing::subscriber::with_default(json_subscriber(io::sink), || {
        group.bench_function(format!("tracing-subscriber JSON to a sink{what}"), |b| {
            b.iter(|| tracing::info!("{}", black_box(message)));
        });
    });
}

criterion_group!(benches, record, disabled, encoding);
criterion_main!(benches);
