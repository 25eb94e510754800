//! The handler as the program's logger. A binary of its own, because a process has one logger.

use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_logs::Logs;
use datadog_transport::SignalKind;
use log::LevelFilter;

#[test]
fn the_macros_reach_the_intake_and_the_clients_own_lines_do_not() {
    let soon = Duration::from_secs(20);
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .api_key("0123456789abcdef0123456789abcdef")
        .logs_direct_submission_url(agent.url())
        .build()
        .unwrap();
    let logs = Logs::start(&config).unwrap();
    // Trace, so that everything that the HTTP library says on the worker comes by.
    let handler = logs.handler().level(LevelFilter::Error);
    let everything = ["install", "shop", "datadog", "ureq", "ureq_proto"];
    everything
        .into_iter()
        .fold(handler, |handler, target| {
            handler.target_level(target, LevelFilter::Trace)
        })
        .install()
        .unwrap();
    assert_eq!(log::max_level(), LevelFilter::Trace);
    assert!(logs.handler().install().is_err());

    log::info!("{} orders", 3);
    log::trace!(target: "shop::detail", size = 1; "small");
    log::warn!(target: "datadog", "own line");
    assert_eq!(logs.flush(soon).delivered, 2);
    agent.stop_listening().unwrap();
    log::error!("nobody listens");
    logs.flush(soon);
    agent.restart().unwrap();
    logs.shutdown(soon);

    let sent: Vec<_> = agent
        .logs()
        .iter()
        .map(|entry| (entry.message.clone(), entry.status.clone()))
        .collect();
    let line = |message: &str, status: &str| (message.to_owned(), Some(status.to_owned()));
    assert_eq!(
        sent,
        [
            line("3 orders", "info"),
            line("small", "debug"),
            line("nobody listens", "error")
        ]
    );
    assert_eq!(agent.logs()[1].attribute("size"), Some(&1.into()));
    let health = logs.health().signal(SignalKind::Logs);
    assert_eq!((health.accepted, health.delivered), (3, 3));
}
