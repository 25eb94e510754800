//! What arrives is what was submitted.

use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use crate::agent::{SOON, account, config, flush, only, over_udp, over_unix};
use datadog_config::Cardinality;
use datadog_local_agent::{LocalAgent, MetricKind, ServiceStatus, Via};
use datadog_metrics::{
    AlertType, Event, Metrics, Priority, ServiceCheck, Status, count, distribution, gauge,
};
use datadog_transport::DropReason;

#[test]
fn every_kind_arrives_over_udp() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    metrics.count("a.count", 5, ());
    metrics.increment("a.count", ());
    metrics.decrement("a.count", ());
    metrics.gauge("a.gauge", 3.0, ());
    metrics.gauge("a.gauge", -1.5, ());
    metrics.histogram("a.histogram", 1e-9, ());
    metrics.distribution("a.distribution", 0.1, ());
    metrics.distribution("a.distribution", 1e20, ());
    metrics.timing("a.timing", Duration::from_micros(1500), ());
    let got = flush(&metrics, &agent, 5);
    assert_eq!(got.len(), 5);
    let check = |name, kind, values: &[f64]| {
        let metric = only(&agent, name);
        assert_eq!((metric.kind, metric.values.as_slice()), (kind, values));
        assert_eq!(metric.via, Via::Udp);
        assert_eq!(metric.tags, ["service:shop"]);
    };
    check("a.count", MetricKind::Count, &[5.0]);
    check("a.gauge", MetricKind::Gauge, &[-1.5]);
    check("a.histogram", MetricKind::Histogram, &[1e-9]);
    check("a.distribution", MetricKind::Distribution, &[0.1, 1e20]);
    check("a.timing", MetricKind::Timing, &[1.5]);
    assert_eq!(account(&metrics).delivered, 9);
}

#[test]
fn handles_and_names_lead_to_the_same_metric() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let tags = [("route", "/cart"), ("method", "get")];
    let hits = metrics.counter("hits", tags);
    hits.increment(2);
    hits.decrement(1);
    metrics.count("hits", 10, ["method:get", "route:/cart"]);
    metrics.gauge_handle("depth", ()).set(2.0);
    metrics.gauge_handle("depth", ()).add(0.5);
    metrics.histogram_handle("h", ()).record(1.0);
    metrics.distribution_handle("d", ()).record(2.0);
    metrics
        .timing_handle("t", ())
        .record(Duration::from_millis(3));
    let got = flush(&metrics, &agent, 5);
    assert_eq!(got.len(), 5);
    let hits = only(&agent, "hits");
    assert_eq!(hits.values, [11.0]);
    assert_eq!(hits.tags, ["service:shop", "method:get", "route:/cart"]);
    assert_eq!(only(&agent, "depth").values, [2.5]);
    assert_eq!(only(&agent, "h").values, [1.0]);
    assert_eq!(only(&agent, "d").values, [2.0]);
    assert_eq!(only(&agent, "t").values, [3.0]);
}

#[test]
fn threads_that_ended_lose_nothing() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let handle = metrics.counter("handle", ());
    for _ in 0..2 {
        thread::scope(|scope| {
            for number in 0..8 {
                let (metrics, handle) = (&metrics, &handle);
                scope.spawn(move || {
                    for value in 0..1000 {
                        handle.increment(1);
                        metrics.count("dynamic", value, [("thread", number.to_string())]);
                    }
                });
            }
        });
        metrics.flush(SOON);
    }
    agent
        .wait_for(SOON, |got| got.metrics().len() == 2 + 16)
        .unwrap();
    assert_eq!(agent.metric_sum("handle"), 16_000.0);
    assert_eq!(agent.metric_sum("dynamic"), 16.0 * 499_500.0);
    assert_eq!(account(&metrics).delivered, 32_000);
}

#[test]
fn many_samples_are_exact_up_to_the_limit_and_weighted_beyond() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    let values: Vec<f64> = (0..1000).map(f64::from).collect();
    for value in &values {
        metrics.distribution("exact", *value, ());
    }
    for value in 0..10_000 {
        metrics.distribution("chosen", f64::from(value % 10), ());
    }
    metrics.flush(SOON);
    let weight =
        |metric: &datadog_local_agent::Metric| metric.values.len() as f64 / metric.sample_rate;
    agent
        .wait_for(SOON, |got| {
            got.metric_values("exact").len() == values.len()
                && got.metrics_named("chosen").map(weight).sum::<f64>() > 9_990.0
        })
        .unwrap();
    let mut got = agent.metric_values("exact");
    got.sort_by(f64::total_cmp);
    assert_eq!(got, values);
    let chosen = agent.metrics_named("chosen");
    let kept: usize = chosen.iter().map(|metric| metric.values.len()).sum();
    // More than once 1024 where the worker's own flush came in between.
    assert!((1024..10_000).contains(&kept), "{kept}");
    let weight: f64 = chosen.iter().map(weight).sum();
    assert!((weight - 10_000.0).abs() < 10.0, "{weight}");
    // A tenth of those kept are expected for each digit; half and double of that are 5 standard deviations away.
    for digit in 0..10 {
        let count = agent
            .metric_values("chosen")
            .iter()
            .filter(|value| **value == f64::from(digit))
            .count();
        assert!((kept / 20..=kept / 5).contains(&count), "{digit}: {count}");
    }
    assert!(agent.datagrams() > 2);
    assert_eq!(account(&metrics).delivered, 11_000);
}

#[test]
fn lines_carry_the_tags_and_the_origin_of_the_config() {
    let agent = LocalAgent::start().unwrap();
    let config = config()
        .dogstatsd_url(agent.dogstatsd_url())
        .env("prod")
        .version("1.2")
        .tags([("team", "web"), ("canary", "")])
        .external_env("it-false,cn-web")
        .internal_entity_id("some-pod")
        .cardinality(Cardinality::Low)
        .build()
        .unwrap();
    let metrics = Metrics::start(&config).unwrap();
    metrics.increment("hits", [("route", "/cart"), ("version", "2.0")]);
    metrics.namespaced("shop").increment("hits", ());
    flush(&metrics, &agent, 2);
    let hits = only(&agent, "hits");
    assert_eq!(
        hits.tags,
        [
            "service:shop",
            "env:prod",
            "dd.internal.entity_id:some-pod",
            "team:web",
            "canary",
            "route:/cart",
            "version:2.0"
        ]
    );
    assert_eq!(hits.origin.container_id.as_deref(), config.entity_id());
    assert_eq!(hits.origin.cardinality.as_deref(), Some("low"));
    assert_eq!(hits.origin.external_env.as_deref(), Some("it-false,cn-web"));
    assert!(only(&agent, "shop.hits").has_tag("version:1.2"));
}

#[test]
fn what_could_break_a_line_is_changed() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    metrics.increment(
        "1st.na|me:5|c\nevil",
        [("ro,ute", "/a|#b\nevil:1|c"), ("9", "only digits")],
    );
    metrics.increment(&"n".repeat(300), [("k".repeat(300), "v")]);
    metrics.increment("", ());
    metrics.increment("123", ());
    metrics.gauge("gauge", f64::NAN, ());
    metrics
        .distribution_handle("distribution", ())
        .record(f64::INFINITY);
    let got = flush(&metrics, &agent, 2);
    assert_eq!(got.len(), 2);
    let metric = only(&agent, "st.na_me_5_c_evil");
    assert_eq!(metric.tags, ["service:shop", "ro_ute:/a_#b_evil:1_c"]);
    let long = only(&agent, &"n".repeat(200));
    assert_eq!(long.tags, ["service:shop".to_owned(), "k".repeat(200)]);
    let account = account(&metrics);
    let invalid = account.dropped.get(DropReason::Invalid);
    assert_eq!((account.delivered, invalid), (2, 4));
}

#[test]
fn numbers_end_at_their_bounds() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let (hits, depth) = (
        metrics.counter("hits", ()),
        metrics.gauge_handle("depth", ()),
    );
    for value in [i64::MAX, 1, i64::MAX] {
        hits.increment(value);
        metrics.count("hits", value, ());
        hits.increment(1);
    }
    hits.decrement(1);
    metrics.counter("misses", ()).decrement(i64::MIN);
    metrics.count("misses", i64::MAX, ());
    depth.set(f64::MAX);
    depth.add(f64::MAX);
    flush(&metrics, &agent, 3);
    assert!(only(&agent, "hits").values[0] >= i64::MAX as f64 - 1024.0);
    assert_eq!(only(&agent, "misses").values, [i64::MAX as f64]);
    assert_eq!(only(&agent, "depth").values, [f64::MAX]);
    let account = account(&metrics);
    let invalid = account.dropped.get(DropReason::Invalid);
    assert_eq!((account.delivered, invalid), (13, 1));
}

#[test]
fn a_timer_measures_seconds() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let timer = metrics.measure("work", [("step", "one")]);
    let moved = thread::spawn(move || drop(timer));
    moved.join().unwrap();
    let answer = metrics.measure_fn("work", [("step", "two")], || 42);
    assert_eq!(answer, 42);
    let got = flush(&metrics, &agent, 2);
    for metric in got {
        assert_eq!(
            (metric.name.as_str(), metric.kind),
            ("work", MetricKind::Distribution)
        );
        assert!((0.0..5.0).contains(&metric.values[0]), "{metric:?}");
    }
}

#[test]
fn sets_count_members() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    for member in ["ann", "bob", "ann", "x|y:z\n"] {
        metrics.set("users", member, [("page", "home")]);
    }
    metrics.set("users", "", ());
    flush(&metrics, &agent, 3);
    let mut members: Vec<_> = agent
        .metrics_named("users")
        .into_iter()
        .map(|metric| {
            assert_eq!(metric.kind, MetricKind::Set);
            assert_eq!(metric.tags, ["service:shop", "page:home"]);
            metric.set_value.unwrap()
        })
        .collect();
    members.sort();
    assert_eq!(members, ["ann", "bob", "x_y_z_"]);
    let account = account(&metrics);
    assert_eq!((account.delivered, account.dropped.total()), (4, 1));
}

#[test]
fn values_of_a_certain_time_are_sent_one_by_one() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    metrics.count_at("hits", 3, at, ["a:b"]);
    metrics.count_at("hits", 4, at + Duration::from_secs(1), ["a:b"]);
    metrics.gauge_at("depth", 1.5, at, ());
    metrics.gauge_at("depth", f64::NAN, at, ());
    metrics.count_at("", 1, at, ());
    let got = flush(&metrics, &agent, 3);
    let seen: Vec<_> = got
        .iter()
        .map(|metric| (metric.name.as_str(), metric.values[0], metric.timestamp))
        .collect();
    assert_eq!(
        seen,
        [
            ("hits", 3.0, Some(1_700_000_000)),
            ("hits", 4.0, Some(1_700_000_001)),
            ("depth", 1.5, Some(1_700_000_000)),
        ]
    );
    assert_eq!(got[0].tags, ["service:shop", "a:b"]);
    let account = account(&metrics);
    assert_eq!((account.delivered, account.dropped.total()), (3, 2));
}

#[test]
fn events_and_service_checks_arrive_as_they_were_meant() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let event = Event::new(
        "deploy: 50% | öl",
        "line 1\nline 2|#x:y\r\n_e{1,1}:a|b\u{7}",
    )
    .at(at)
    .hostname("web-1")
    .aggregation_key("de|ploy")
    .source_type("ci")
    .priority(Priority::Low)
    .alert_type(AlertType::Success);
    metrics.event(&event, [("team", "web")]);
    metrics.event(&Event::new("plain", ""), ());
    metrics.event(&Event::new("", "no title"), ());
    metrics.event(&Event::new("long", &"x".repeat(9000)), ());
    let check = ServiceCheck::new("db|up", Status::Critical)
        .at(at)
        .hostname("web-1")
        .message("gone\nm:again|#evil");
    metrics.service_check(&check, [("db", "main")]);
    metrics.service_check(&ServiceCheck::new("app.up", Status::Ok), ());
    metrics.flush(SOON);
    agent
        .wait_for(SOON, |got| {
            got.events().len() == 2 && got.service_checks().len() == 2
        })
        .unwrap();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());

    let events = agent.events();
    assert_eq!(events[0].title, "deploy: 50% | öl");
    assert_eq!(events[0].text, "line 1\nline 2|#x:y\n_e{1,1}:a|b ");
    assert_eq!(events[0].timestamp, Some(1_700_000_000));
    assert_eq!(events[0].hostname.as_deref(), Some("web-1"));
    assert_eq!(events[0].aggregation_key.as_deref(), Some("de_ploy"));
    assert_eq!(events[0].source_type.as_deref(), Some("ci"));
    assert_eq!(events[0].priority.as_deref(), Some("low"));
    assert_eq!(events[0].alert_type.as_deref(), Some("success"));
    assert_eq!(events[0].tags, ["service:shop", "team:web"]);
    assert_eq!(
        (events[1].title.as_str(), events[1].text.as_str()),
        ("plain", "")
    );

    let checks = agent.service_checks();
    assert_eq!(checks[0].name, "db_up");
    assert_eq!(checks[0].status, ServiceStatus::Critical);
    assert_eq!(checks[0].timestamp, Some(1_700_000_000));
    assert_eq!(checks[0].hostname.as_deref(), Some("web-1"));
    assert_eq!(checks[0].message.as_deref(), Some("gone\nm:again_#evil"));
    assert_eq!(checks[0].tags, ["service:shop", "db:main"]);
    assert_eq!(
        (checks[1].status, checks[1].message.as_deref()),
        (ServiceStatus::Ok, None)
    );

    let account = account(&metrics);
    assert_eq!(account.delivered, 4);
    assert_eq!(account.dropped.get(DropReason::Invalid), 1);
    assert_eq!(account.dropped.get(DropReason::TooLarge), 1);
}

#[test]
fn macros_keep_a_handle_for_each_place_and_client() {
    let agent = LocalAgent::start().unwrap();
    let (one, other) = (over_unix(&agent), over_unix(&agent));
    let namespaced = one.namespaced("shop");
    for metrics in [&*one, &*other, &*one, &namespaced] {
        for route in ["/cart", "/home"] {
            count!(metrics, "views", 2, "route" => "/cart", "method" => "get");
            count!(metrics, "views.of", 1, "route" => route);
            gauge!(metrics, "depth", 1.5);
            distribution!(metrics, "bytes", 3.0, "route" => route.to_owned());
        }
    }
    one.flush(SOON);
    other.flush(SOON);
    agent
        .wait_for(SOON, |got| {
            got.metric_sum("views") == 12.0
                && got.metric_sum("shop.views") == 4.0
                && got.metric_sum("views.of") == 6.0
                && got.metric_values("bytes").len() == 6
                && got.metric_values("shop.depth") == [1.5]
        })
        .unwrap();
    assert_eq!(account(&one).accepted, 24);
    assert_eq!(account(&other).accepted, 8);
}
