//! Every kind, made by the reference and by us.

use std::time::{Duration, UNIX_EPOCH};

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_metrics::{AlertType, Event, Metrics, Priority, ServiceCheck, Standalone, Status};
use dogstatsd::{
    Client, EventAlertType, EventOptions, EventPriority, OptionsBuilder, ServiceCheckOptions,
    ServiceStatus,
};

use crate::received::{LIMIT, Relay, arrived, checks_of, events_of, metrics_of};

const TAGS: [&str; 2] = ["route:/cart", "canary"];
const SECONDS: u64 = 1_700_000_000;

/// Both, sending to one agent.
struct Pair {
    agent: LocalAgent,
    relay: Relay,
    reference: Client,
    ours: Standalone<Metrics>,
}

impl Pair {
    fn start() -> Self {
        let agent = LocalAgent::start().unwrap();
        let relay = Relay::start();
        let mut options = OptionsBuilder::new();
        options
            .to_addr(relay.address())
            .namespace("shop".to_owned())
            .default_tag("service:shop".to_owned());
        let config = DDConfig::builder()
            .environment([("", "")])
            .service("shop")
            .origin_detection_enabled(false)
            .dogstatsd_url(agent.dogstatsd_url())
            .build()
            .unwrap();
        Self {
            reference: Client::new(options.build()).unwrap(),
            ours: Metrics::start(&config).unwrap(),
            relay,
            agent,
        }
    }
}

#[test]
fn every_kind_is_read_as_the_same_metric() {
    let Pair {
        agent,
        relay,
        reference,
        ours,
    } = &Pair::start();
    let expected = arrived(agent, 8, || {
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
        relay.pass_on(agent, 8);
    });
    let named = ours.namespaced("shop");
    let by_name = arrived(agent, 8, || {
        named.count("count", -5, TAGS);
        named.increment("incr", TAGS);
        named.decrement("decr", TAGS);
        named.gauge("gauge", 1.25, TAGS);
        named.histogram("histogram", 0.001, TAGS);
        named.distribution("distribution", -12345.5, TAGS);
        named.timing("timing", Duration::from_millis(350), TAGS);
        named.set("set", "ann", TAGS);
        ours.flush(LIMIT);
    });
    assert_eq!(metrics_of(&by_name), metrics_of(&expected));
    let by_handle = arrived(agent, 8, || {
        named.counter("count", TAGS).decrement(5);
        named.counter("incr", TAGS).increment(1);
        named.counter("decr", TAGS).decrement(1);
        named.gauge_handle("gauge", TAGS).set(1.25);
        named.histogram_handle("histogram", TAGS).record(0.001);
        named
            .distribution_handle("distribution", TAGS)
            .record(-12345.5);
        named
            .timing_handle("timing", TAGS)
            .record(Duration::from_millis(350));
        named.set("set", "ann", TAGS);
        ours.flush(LIMIT);
    });
    assert_eq!(metrics_of(&by_handle), metrics_of(&expected));
}

#[test]
fn numbers_are_read_as_the_same() {
    let Pair {
        agent,
        relay,
        reference,
        ours,
    } = &Pair::start();
    let counts = [
        0,
        1,
        -1,
        1 << 53,
        i64::from(i32::MIN),
        i64::MAX,
        i64::MIN + 1,
    ];
    let floats = [
        0.0,
        -0.5,
        1e-9,
        0.1 + 0.2,
        1.0 / 3.0,
        12_345_678.25,
        1e20,
        -1e300,
        f64::MIN_POSITIVE,
        f64::MAX,
    ];
    let names: Vec<String> = (0..counts.len() + floats.len() * 3)
        .map(|number| format!("n{number:02}"))
        .collect();
    let expected = arrived(agent, names.len(), || {
        let mut names = names.iter().map(String::as_str);
        for count in counts {
            reference.count(names.next().unwrap(), count, TAGS).unwrap();
        }
        for float in floats {
            let text = float.to_string();
            let mut name = || names.next().unwrap();
            reference.gauge(name(), text.as_str(), TAGS).unwrap();
            reference.histogram(name(), text.as_str(), TAGS).unwrap();
            reference.distribution(name(), text.as_str(), TAGS).unwrap();
        }
        relay.pass_on(agent, counts.len() + floats.len() * 3);
    });
    let named = ours.namespaced("shop");
    let got = arrived(agent, names.len(), || {
        let mut names = names.iter().map(String::as_str);
        for count in counts {
            named.count(names.next().unwrap(), count, TAGS);
        }
        for float in floats {
            let mut name = || names.next().unwrap();
            named.gauge(name(), float, TAGS);
            named.histogram(name(), float, TAGS);
            named.distribution(name(), float, TAGS);
        }
        ours.flush(LIMIT);
    });
    assert_eq!(metrics_of(&got), metrics_of(&expected));
}

#[test]
fn events_are_read_as_the_same() {
    let Pair {
        agent,
        relay,
        reference,
        ours,
    } = &Pair::start();
    let compare = |title: &str, text: &str, theirs: Option<EventOptions<'_>>, event: Event<'_>| {
        let expected = arrived(agent, 1, || {
            reference
                .event_with_options(title.to_owned(), text.to_owned(), TAGS, theirs)
                .unwrap();
            relay.pass_on(agent, 1);
        });
        let got = arrived(agent, 1, || {
            ours.event(&event, TAGS);
            ours.flush(LIMIT);
        });
        assert_eq!(events_of(&got), events_of(&expected));
    };
    compare("title", "text", None, Event::new("title", "text"));
    let title = "Ausfall: 3 Geräte ☎";
    compare(title, "", None, Event::new(title, ""));
    let text = "%%% **bold** | a, b; #c %%%";
    compare("t", text, None, Event::new("t", text));
    let priorities = [
        (EventPriority::Low, Priority::Low),
        (EventPriority::Normal, Priority::Normal),
    ];
    let alerts = [
        (EventAlertType::Error, AlertType::Error),
        (EventAlertType::Warning, AlertType::Warning),
        (EventAlertType::Info, AlertType::Info),
        (EventAlertType::Success, AlertType::Success),
    ];
    for (their_priority, priority) in priorities {
        for (their_alert, alert) in alerts {
            let options = EventOptions::new()
                .with_timestamp(SECONDS)
                .with_hostname("web-1")
                .with_aggregation_key("deploy")
                .with_priority(their_priority)
                .with_source_type_name("ci")
                .with_alert_type(their_alert);
            let event = Event::new("title", "text")
                .at(UNIX_EPOCH + Duration::from_secs(SECONDS))
                .hostname("web-1")
                .aggregation_key("deploy")
                .priority(priority)
                .source_type("ci")
                .alert_type(alert);
            compare("title", "text", Some(options), event);
        }
    }
}

#[test]
fn service_checks_are_read_as_the_same() {
    let Pair {
        agent,
        relay,
        reference,
        ours,
    } = &Pair::start();
    let states = [
        (ServiceStatus::OK, Status::Ok),
        (ServiceStatus::Warning, Status::Warning),
        (ServiceStatus::Critical, Status::Critical),
        (ServiceStatus::Unknown, Status::Unknown),
    ];
    for (theirs, status) in states {
        let expected = arrived(agent, 1, || {
            let options = ServiceCheckOptions {
                timestamp: Some(SECONDS as i32),
                hostname: Some("web-1"),
                message: None,
            };
            reference
                .service_check("db.up", theirs, TAGS, Some(options))
                .unwrap();
            relay.pass_on(agent, 1);
        });
        let got = arrived(agent, 1, || {
            let check = ServiceCheck::new("db.up", status)
                .at(UNIX_EPOCH + Duration::from_secs(SECONDS))
                .hostname("web-1");
            ours.service_check(&check, TAGS);
            ours.flush(LIMIT);
        });
        assert_eq!(checks_of(&got), checks_of(&expected));
    }

    // The reference writes tags behind the message, where a strict reader takes them for a part of it.
    let mut options = OptionsBuilder::new();
    let untagged = Client::new(options.to_addr(relay.address()).build()).unwrap();
    let message = "port 5432: refused, 3 times";
    let expected = arrived(agent, 1, || {
        let options = ServiceCheckOptions {
            message: Some(message),
            ..Default::default()
        };
        untagged
            .service_check(
                "db.up",
                ServiceStatus::Critical,
                &[] as &[&str],
                Some(options),
            )
            .unwrap();
        relay.pass_on(agent, 1);
    });
    let got = arrived(agent, 1, || {
        ours.service_check(
            &ServiceCheck::new("db.up", Status::Critical).message(message),
            (),
        );
        ours.flush(LIMIT);
    });
    let [mut got, expected] = [got, expected].map(|received| checks_of(&received));
    assert_eq!(got[0].tags, ["service:shop"]);
    got[0].tags.clear();
    assert_eq!(got, expected);
}
