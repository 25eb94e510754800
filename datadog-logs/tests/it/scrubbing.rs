use crate::support::{config_of, receiver};

#[test]
#[cfg(feature = "scrubbing")]
fn rules_find_secrets_wherever_a_text_stands() {
    use std::{fmt, io};

    use datadog_logs::{Logs, Value};
    use log::Log;
    use serde_json::json;

    use crate::support::SOON;

    #[derive(Debug)]
    struct Failed(io::Error);

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no order for hunter2")
        }
    }

    impl std::error::Error for Failed {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    let agent = receiver();
    let config = config_of(&agent).logs_scrub_rules([
        (r"hunter(\d)", "[secret $1]"),
        // Sees what the first left.
        (r"\[secret", "[hidden"),
    ]);
    let logs = Logs::start(&config.build().unwrap()).unwrap();
    let logger = logs.get_logger("hunter1").with("from", "hunter2");
    logger
        .info("the \"password\" is hunter3\nor hunter4")
        .with("plain", "nothing to find")
        .with("number", 4)
        .with("list", vec!["hunter5", "x"])
        .with("map", Value::map([("hunter6", "hunter7")]));
    logs.exception(&Failed(io::Error::other("hunter8 refused")));
    logs.handler().log(
        &log::Record::builder()
            .level(log::Level::Info)
            .args(format_args!("formatted hunter{}", 9))
            .key_values(&("item", "hunter0"))
            .build(),
    );
    logs.flush(SOON);

    let [plain, formatted, exception] = {
        let mut entries = agent.logs();
        // One with a backtrace comes after its turn.
        entries.sort_by_key(|entry| entry.message.starts_with("no order"));
        <[_; 3]>::try_from(entries).unwrap()
    };
    assert_eq!(
        plain.message,
        "the \"password\" is [hidden 3]\nor [hidden 4]"
    );
    for (name, value) in [
        ("logger.name", json!("[hidden 1]")),
        ("from", json!("[hidden 2]")),
        ("plain", json!("nothing to find")),
        ("number", json!(4)),
        ("list", json!(["[hidden 5]", "x"])),
        ("map", json!({"hunter6": "[hidden 7]"})),
    ] {
        assert_eq!(plain.attribute(name), Some(&value), "{name}");
    }
    assert_eq!(formatted.message, "formatted [hidden 9]");
    assert_eq!(formatted.attribute("item"), Some(&json!("[hidden 0]")));
    assert_eq!(exception.message, "no order for [hidden 2]");
    assert_eq!(
        exception.attribute("error.message"),
        Some(&json!("no order for [hidden 2]"))
    );
    let stack = exception.attribute("error.stack").unwrap();
    let stack = stack.as_str().unwrap();
    assert!(
        stack.starts_with("caused by: [hidden 8] refused"),
        "{stack}"
    );
}

/// A rule must not be forgotten in silence.
#[test]
#[cfg(not(feature = "scrubbing"))]
fn rules_without_the_feature_are_refused() {
    let agent = receiver();
    let config = config_of(&agent).logs_scrub_rules([("hunter2", "x")]);
    let error = config.build().unwrap_err().to_string();
    assert!(error.contains("the Cargo feature `scrubbing`"), "{error}");
    let name = "DD_LOGS_SCRUB_RULES";
    let config = config_of(&agent).environment([(name, r#"[{"pattern": "hunter2"}]"#)]);
    let config = config.build().unwrap();
    let problems = config.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].to_string().contains(name), "{problems:?}");
    assert!(config.logs_scrub_rules().is_empty());
}
