//! The `dogstatsd` crate as a reference: for every kind, its line and ours are read as the same metric.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::net::UdpSocket;
use std::time::{Duration, UNIX_EPOCH};

use datadog_config::DDConfig;
use datadog_local_agent::{
    Event as GotEvent, LocalAgent, Metric, Received, ServiceCheck as GotCheck,
};
use datadog_metrics::{AlertType, Event, Metrics, Priority, ServiceCheck, Status};
use dogstatsd::{
    Client, EventAlertType, EventOptions, EventPriority, OptionsBuilder, ServiceCheckOptions,
    ServiceStatus,
};

const LIMIT: Duration = Duration::from_secs(20);
const TAGS: [&str; 2] = ["route:/cart", "canary"];

/// Sends by `send`, and returns what arrived when `count` things did. Tags in one order, because it has no meaning.
fn arrived(agent: &LocalAgent, count: usize, send: impl FnOnce()) -> Received {
    agent.clear();
    send();
    let things =
        |got: &Received| metrics_of(got).len() + got.events().len() + got.service_checks().len();
    agent.wait_for(LIMIT, |got| things(got) == count).unwrap();
    agent.received()
}

/// What the reference sent to `from`, passed on to the agent. Its lines have no newline at their end, which ours have
/// because an agent may be told to insist.
fn pass_on(from: &UdpSocket, agent: &LocalAgent, datagrams: usize) {
    let mut datagram = [0; 2048];
    for _ in 0..datagrams {
        let length = from.recv(&mut datagram[..2047]).unwrap();
        datagram[length] = b'\n';
        from.send_to(&datagram[..=length], agent.dogstatsd_addr())
            .unwrap();
    }
}

fn sorted(mut tags: Vec<String>) -> Vec<String> {
    tags.sort();
    tags
}

fn metrics_of(got: &Received) -> Vec<Metric> {
    let mut metrics = got.metrics().to_vec();
    // What our client says about itself, should the test take long.
    metrics.retain(|metric| !metric.name.starts_with("datadog."));
    for metric in &mut metrics {
        metric.tags = sorted(std::mem::take(&mut metric.tags));
    }
    metrics.sort_by(|one, other| one.name.cmp(&other.name));
    metrics
}

fn events_of(got: &Received) -> Vec<GotEvent> {
    let mut events = got.events().to_vec();
    for event in &mut events {
        event.tags = sorted(std::mem::take(&mut event.tags));
    }
    events
}

fn checks_of(got: &Received) -> Vec<GotCheck> {
    let mut checks = got.service_checks().to_vec();
    for check in &mut checks {
        check.tags = sorted(std::mem::take(&mut check.tags));
    }
    checks
}

#[test]
fn every_kind_is_read_as_the_same_metric() {
    let agent = LocalAgent::start().unwrap();
    let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
    relay.set_read_timeout(Some(LIMIT)).unwrap();
    let mut options = OptionsBuilder::new();
    options
        .to_addr(relay.local_addr().unwrap().to_string())
        .namespace("shop".to_owned())
        .default_tag("service:shop".to_owned());
    let reference = Client::new(options.build()).unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .origin_detection_enabled(false)
        .dogstatsd_url(agent.dogstatsd_url())
        .build()
        .unwrap();
    let metrics = Metrics::start(&config).unwrap();
    let ours = metrics.namespaced("shop");

    let expected = arrived(&agent, 8, || {
        reference.count("count", -5, TAGS).unwrap();
        reference.incr("incr", TAGS).unwrap();
        reference.decr("decr", TAGS).unwrap();
        reference.gauge("gauge", "1.25", TAGS).unwrap();
        reference.histogram("histogram", "0.001", TAGS).unwrap();
        reference
            .distribution("distribution", "-12345.5", TAGS)
            .unwrap();
        reference.timing("timing", 350, TAGS).unwrap();
        reference.set("set", "ann", TAGS).unwrap();
        pass_on(&relay, &agent, 8);
    });
    let got = arrived(&agent, 8, || {
        ours.count("count", -5, TAGS);
        ours.increment("incr", TAGS);
        ours.decrement("decr", TAGS);
        ours.gauge("gauge", 1.25, TAGS);
        ours.histogram("histogram", 0.001, TAGS);
        ours.distribution("distribution", -12345.5, TAGS);
        ours.timing("timing", Duration::from_millis(350), TAGS);
        ours.set("set", "ann", TAGS);
        metrics.flush(LIMIT);
    });
    assert_eq!(metrics_of(&got), metrics_of(&expected));

    let expected = arrived(&agent, 2, || {
        let options = EventOptions::new()
            .with_timestamp(1_700_000_000)
            .with_hostname("web-1")
            .with_aggregation_key("deploy")
            .with_priority(EventPriority::Low)
            .with_source_type_name("ci")
            .with_alert_type(EventAlertType::Warning);
        reference.event("title", "text", TAGS).unwrap();
        reference
            .event_with_options("title 2", "text 2", TAGS, Some(options))
            .unwrap();
        pass_on(&relay, &agent, 2);
    });
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let got = arrived(&agent, 2, || {
        let event = Event::new("title 2", "text 2")
            .at(at)
            .hostname("web-1")
            .aggregation_key("deploy")
            .priority(Priority::Low)
            .source_type("ci")
            .alert_type(AlertType::Warning);
        metrics.event(&Event::new("title", "text"), TAGS);
        metrics.event(&event, TAGS);
        metrics.flush(LIMIT);
    });
    assert_eq!(events_of(&got), events_of(&expected));

    let states = [
        (ServiceStatus::OK, Status::Ok),
        (ServiceStatus::Warning, Status::Warning),
        (ServiceStatus::Critical, Status::Critical),
        (ServiceStatus::Unknown, Status::Unknown),
    ];
    for (theirs, our_status) in states {
        let expected = arrived(&agent, 1, || {
            let options = ServiceCheckOptions {
                timestamp: Some(1_700_000_000),
                hostname: Some("web-1"),
                // It would write the message before the tags, where a strict reader takes them for a part of it.
                message: None,
            };
            reference
                .service_check("up", theirs, TAGS, Some(options))
                .unwrap();
            pass_on(&relay, &agent, 1);
        });
        let got = arrived(&agent, 1, || {
            let check = ServiceCheck::new("up", our_status).at(at).hostname("web-1");
            metrics.service_check(&check, TAGS);
            metrics.flush(LIMIT);
        });
        assert_eq!(checks_of(&got), checks_of(&expected));
    }
}
