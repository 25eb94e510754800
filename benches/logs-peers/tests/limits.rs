//! What a record may cost, and a million of them accounted for.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::Duration;

use datadog_config::DDConfig;
use datadog_logs::{Level, Logs};
use datadog_transport::context::{self, ActiveSpan};
use datadog_transport::{SignalKind, Standalone};

fn logs() -> Standalone<Logs> {
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .service("shop")
        .logs_output("/dev/null");
    Logs::start(&config.build().unwrap()).unwrap()
}

fn write(logs: &Logs, number: u64) {
    logs.log(Level::Info, "order placed by a customer")
        .with("order.id", number)
        .with("order.kind", "express")
        .with("ok", true);
}

#[test]
fn records_cost_less_than_one_allocation_in_fifty() {
    let logs = logs();
    context::replace(Some(ActiveSpan {
        trace_id: u128::MAX,
        span_id: u64::MAX,
        local_root_id: u64::MAX,
    }));
    write(&logs, 0);
    let made = allocation_counter::measure(|| (1..=1000).for_each(|number| write(&logs, number)));
    assert!(made.count_total <= 20, "{made:?}");
    let handler = logs.handler();
    let made = allocation_counter::measure(|| {
        for number in 0..1000 {
            log::Log::log(
                &handler,
                &log::Record::builder()
                    .level(log::Level::Info)
                    .args(format_args!("order {number}"))
                    .build(),
            );
        }
    });
    assert!(made.count_total <= 20, "{made:?}");
}

#[test]
fn a_million_records_are_all_accounted_for() {
    let logs = logs();
    (0..1_000_000).for_each(|number| write(&logs, number));
    logs.shutdown(Duration::from_secs(10));
    let health = logs.health().signal(SignalKind::Logs);
    assert_eq!((health.accepted, health.buffered), (1_000_000, 0));
    assert_eq!(health.delivered + health.dropped.total(), 1_000_000);
    assert!(health.delivered > 0);
}
