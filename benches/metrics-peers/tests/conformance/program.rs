// A program that uses every item of the public API of the `dogstatsd` crate, in the ways that its documentation shows. It is
// compiled twice: see `compat.rs`.

use std::borrow::Cow;
use std::time::Duration;

/// Every way to make options.
pub(crate) fn options(to_addr: &str) -> Options {
    let batching = BatchingOptions {
        max_buffer_size: 8000,
        max_time: Duration::from_millis(3000),
        max_retry_attempts: 3,
        initial_retry_delay: 10,
    };
    let built = OptionsBuilder::new()
        .from_addr(String::from("0.0.0.0:0"))
        .to_addr(String::from("127.0.0.1:9001"))
        .namespace(String::from("shop"))
        .default_tag(String::from("service:shop"))
        .default_tag(String::from("canary"))
        .socket_path(None)
        .batching_options(batching)
        .build();
    let tags = vec![String::from("service:shop"), String::from("canary")];
    let new = Options::new(
        "0.0.0.0:0",
        "127.0.0.1:9001",
        "shop",
        tags,
        None,
        Some(batching),
    );
    assert_eq!(built, new);
    let default = Options {
        from_addr: "0.0.0.0:0".into(),
        to_addr: "127.0.0.1:8125".into(),
        namespace: String::new(),
        default_tags: vec![],
        socket_path: None,
        batching_options: None,
    };
    assert_eq!(Options::default(), default);
    assert!(format!("{default:?}").contains("8125"));
    Options {
        to_addr: to_addr.to_owned(),
        batching_options: None,
        ..built
    }
}

/// Sends a metric of every kind, each with another name, in every form of arguments: 19 datagrams where nothing is summed up.
pub(crate) fn send(client: &Client) -> DogstatsdResult {
    client.incr("incr", &["tag:counter"])?;
    client.incr(
        String::from("incr.owned"),
        vec![String::from("tag:counter")],
    )?;
    client.incr(Cow::Borrowed("incr.cow"), ["a:1", "b:2"].iter())?;
    client.incr("incr.untagged", &[] as &[String])?;
    client.incr_by_value("incr_by_value", 123, &["tag:counter"])?;
    client.decr("decr", &["tag:counter"])?;
    client.decr_by_value("decr_by_value", 23, &["tag:counter"])?;
    client.count("count", 42, ["tag:counter".to_owned()])?;
    client.timing("timing", 350, &["tag:timing"])?;
    client.gauge("gauge", "12345", &["tag:gauge"])?;
    client.gauge(
        format!("gauge.{}", "owned"),
        12.5.to_string(),
        ["tag:gauge"],
    )?;
    client.histogram("histogram", "67890", &["tag:histogram"])?;
    client.histogram("histogram.many", "1:2.5:3", &["tag:histogram"])?;
    client.distribution("distribution", "-67.25", &["tag:distribution"])?;
    client.set("set", "13579", &["tag:set"])?;
    let seven = client
        .time("time", &["tag:time"], || 7)
        .unwrap_or_else(|(output, _error)| output);
    assert_eq!(seven, 7);

    client.service_check(
        "redis.can_connect",
        ServiceStatus::OK,
        &["tag:service"],
        None,
    )?;
    let options = ServiceCheckOptions {
        timestamp: Some(1_510_326_433),
        hostname: Some("my-host.localhost"),
        ..Default::default()
    };
    client.service_check(
        "redis.can_connect",
        ServiceStatus::Unknown,
        &["tag:service"],
        Some(options),
    )?;
    client.event("Event Title", "Event Body", &["tag:event"])
}

/// Sends events with all options: two datagrams.
pub(crate) fn send_events(client: &Client) -> Result<(), DogstatsdError> {
    let literal = EventOptions {
        timestamp: Some(1_638_480_000),
        hostname: Some("localhost"),
        aggregation_key: Some("service_down"),
        priority: Some(EventPriority::Low),
        source_type_name: Some("monitoring"),
        alert_type: Some(EventAlertType::Error),
    };
    let built = EventOptions::new()
        .with_timestamp(1_638_480_000)
        .with_hostname("localhost")
        .with_aggregation_key("service_down")
        .with_priority(EventPriority::default())
        .with_source_type_name("monitoring")
        .with_alert_type(EventAlertType::default());
    assert_eq!(
        built.priority.map(|priority| priority.as_str()),
        Some("normal")
    );
    assert_eq!(built.alert_type.map(|kind| kind.as_str()), Some("info"));
    client.event_with_options("Title", "Body", &["tag:event"], Some(literal))?;
    client.event_with_options(
        String::from("Title"),
        String::from("Body"),
        &["tag:event"],
        Some(built),
    )
}

/// Sends what an asynchronous block took: one datagram.
pub(crate) async fn send_async(client: &Client) -> u32 {
    client
        .async_time("async_time", &["tag:time"], || async { 9 })
        .await
        .unwrap_or_else(|(output, error)| {
            assert_eq!(error.to_string(), "", "sends fail");
            output
        })
}

/// What else the crate's types can do.
pub(crate) fn compare(client: &Client, other: &Client) -> bool {
    let DogstatsdError::IoError(inner) = DogstatsdError::from(std::io::Error::other("oh no!"));
    assert_eq!(inner.to_string(), "oh no!");
    let error: &dyn std::error::Error = &DogstatsdError::IoError(inner);
    assert_eq!(error.to_string(), "oh no!");
    assert!(error.source().is_some());
    assert!(format!("{client:?}").starts_with("Client"));
    client == other
}
