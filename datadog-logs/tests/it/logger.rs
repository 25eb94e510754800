use datadog_logs::Level;
use serde_json::json;

use crate::support::{SOON, account, body, logs_to, receiver};

#[test]
fn a_logger_gives_its_attributes_to_its_records() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let logger = logs
        .get_logger("shop::checkout")
        .with("region", "eu")
        .with("zone", 1)
        .with("region", "us");
    let other = logger.clone().with("zone", 2);
    logger.info("first").with("zone", 3).with("item", "tea");
    other
        .with("error.kind", "replaced")
        .exception(&std::fmt::Error);
    logs.log(Level::Info, "no logger");
    logs.flush(SOON);
    // Not by place: one with a backtrace comes after its turn.
    let of = |message: &str| {
        let mut entries = agent.logs().into_iter();
        entries.find(|entry| entry.message == message).unwrap()
    };
    let (first, third) = (of("first"), of("no logger"));
    let second = of(&std::fmt::Error.to_string());
    for (entry, zone) in [(&first, 3), (&second, 2)] {
        assert_eq!(
            entry.attribute("logger.name"),
            Some(&json!("shop::checkout"))
        );
        assert_eq!(entry.attribute("region"), Some(&json!("us")));
        assert_eq!(entry.attribute("zone"), Some(&json!(zone)));
        let thread = std::thread::current();
        assert_eq!(
            entry.attribute("logger.thread_name"),
            thread.name().map(|name| json!(name)).as_ref()
        );
    }
    // A key that occurs twice would be one after reading.
    let body = String::from_utf8(body(&agent.requests()[0])).unwrap();
    assert_eq!(body.matches("\"error.kind\"").count(), 1);
    assert_eq!(
        second.attribute("error.kind"),
        Some(&json!("core::fmt::Error"))
    );
    assert_eq!(first.attribute("item"), Some(&json!("tea")));
    assert_eq!(third.attribute("region"), None);
    assert_eq!(third.attribute("logger.name"), None);
}

#[test]
fn a_logger_leaves_out_what_is_below_its_level() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let logger = logs.get_logger("shop").level(Level::Warning);
    logger.debug("no").with("a", 1);
    logger.info("no");
    logger.warning("yes");
    logger.error("yes");
    logger.log(Level::Emergency, "yes");
    assert!(!logger.enabled(Level::Notice) && logger.enabled(Level::Warning));
    let silent = logger.level(Level::Critical);
    silent.exception(&std::fmt::Error);
    logs.flush(SOON);
    let levels: Vec<_> = agent.logs().into_iter().map(|entry| entry.status).collect();
    let levels: Vec<_> = levels.iter().flatten().collect();
    assert_eq!(levels, ["warn", "error", "emergency"]);
    assert_eq!(account(&logs).accepted, 3);
}
