//! The official Python client (PyPI `datadog`) as a reference: for every kind, its line and ours are read as the same metric.
//!
//! `cargo xtask test` installs it. Without it these tests do nothing but say so.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::Write;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use datadog_config::{Cardinality, DDConfig};
use datadog_local_agent::{Event as GotEvent, LocalAgent, Metric, ServiceCheck as GotCheck};
use datadog_metrics::{AlertType, Event, Metrics, Priority, ServiceCheck, Status};

const LIMIT: Duration = Duration::from_secs(60);
const TAGS: [&str; 2] = ["route:/cart", "canary"];
const AT: Duration = Duration::from_secs(1_700_000_000);

/// What arrived, all of it and its tags in one order, because it has no meaning.
type Arrived = (Vec<Metric>, Vec<GotEvent>, Vec<GotCheck>);

#[test]
fn every_kind_is_read_as_the_same() {
    let Some(python) = python() else {
        // Not a print macro: those are captured in tests.
        let _ = writeln!(
            std::io::stderr(),
            "left out: every_kind_is_read_as_the_same: it needs PyPI `datadog`, run `cargo xtask test`"
        );
        return;
    };
    let agent = LocalAgent::start().unwrap();
    let got = arrived(&agent, || send(&agent));
    for mode in ["plain", "aggregated"] {
        let expected = arrived(&agent, || send_by_python(&python, &agent, mode));
        assert_eq!(got.0, expected.0, "{mode}");
        assert_eq!(got.1, expected.1, "{mode}");
        assert_eq!(got.2, expected.2, "{mode}");
    }
}

/// The Python that has it.
#[expect(
    clippy::disallowed_methods,
    reason = "how `cargo xtask test` says where it is"
)]
fn python() -> Option<String> {
    std::env::var("DATADOGPY_PYTHON").ok()
}

fn send_by_python(python: &str, agent: &LocalAgent, mode: &str) {
    let output = Command::new(python)
        .args(["-I", "-c", include_str!("datadogpy.py")])
        .args([&agent.dogstatsd_addr().port().to_string(), mode])
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The same in the same order.
fn send(agent: &LocalAgent) {
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .cardinality(Cardinality::Low)
        .dogstatsd_url(agent.dogstatsd_url())
        .build()
        .unwrap();
    let client = Metrics::start(&config).unwrap();
    let at = UNIX_EPOCH + AT;
    let named = client.namespaced("shop");
    named.count("count", -5, TAGS);
    named.increment("incr", TAGS);
    named.decrement("decr", TAGS);
    named.gauge("gauge", 1.25, TAGS);
    named.histogram("histogram", 0.001, TAGS);
    named.distribution("distribution", -12345.5, TAGS);
    named.timing("timing", Duration::from_millis(350), TAGS);
    named.set("set", "ann", TAGS);
    named.count_at("count_at", 7, at, TAGS);
    named.gauge_at("gauge_at", -2.5, at, TAGS);

    client.event(&Event::new("title", "text"), TAGS);
    let event = Event::new("Ausfall: 3 Geräte ☎", "line 1\nline 2 | a, b");
    client.event(&event, TAGS);
    for alert_type in [
        AlertType::Error,
        AlertType::Warning,
        AlertType::Info,
        AlertType::Success,
    ] {
        for priority in [Priority::Normal, Priority::Low] {
            let event = Event::new("title", "text")
                .alert_type(alert_type)
                .aggregation_key("deploy")
                .source_type("ci")
                .at(at)
                .priority(priority)
                .hostname("web-1");
            client.event(&event, TAGS);
        }
    }

    for status in [
        Status::Ok,
        Status::Warning,
        Status::Critical,
        Status::Unknown,
    ] {
        let check = ServiceCheck::new("db.up", status).at(at).hostname("web-1");
        client.service_check(&check, TAGS);
    }
    let check = ServiceCheck::new("db.up", Status::Critical).message("refused,\n3 times m:x");
    client.service_check(&check, TAGS);
    client.shutdown(LIMIT);
}

fn arrived(agent: &LocalAgent, send: impl FnOnce()) -> Arrived {
    agent.clear();
    send();
    agent
        .wait_for(LIMIT, |got| {
            (
                got.metrics().len(),
                got.events().len(),
                got.service_checks().len(),
            ) == (10, 10, 5)
        })
        .unwrap();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let (mut metrics, mut events, mut checks) =
        (agent.metrics(), agent.events(), agent.service_checks());
    metrics.sort_by(|one, other| one.name.cmp(&other.name));
    metrics.iter_mut().for_each(|metric| metric.tags.sort());
    events.iter_mut().for_each(|event| event.tags.sort());
    checks.iter_mut().for_each(|check| check.tags.sort());
    events.sort_by_key(|event| format!("{event:?}"));
    checks.sort_by_key(|check| format!("{check:?}"));
    (metrics, events, checks)
}
