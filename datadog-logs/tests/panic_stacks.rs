//! Panics where crashes are to be reported. A binary of its own, because the hook belongs to the whole process.

use std::panic;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_logs::Logs;

#[inline(never)]
fn jams_the_drawer() {
    panic!("the drawer is stuck");
}

#[test]
fn panics_are_logged_once_with_their_stacks() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .api_key("0123456789abcdef0123456789abcdef")
        .logs_direct_submission_url(agent.url())
        .crashtracking_enabled(true)
        .build()
        .unwrap();
    panic::set_hook(Box::new(|_| ()));
    let logs = Logs::start(&config).unwrap();
    logs.log_panics();
    assert!(panic::catch_unwind(jams_the_drawer).is_err());
    logs.shutdown(Duration::from_secs(20));

    let [record] = agent.logs().try_into().unwrap();
    assert_eq!(record.message, "the drawer is stuck");
    assert_eq!(record.status.as_deref(), Some("critical"));
    let stack = record.attribute("error.stack").unwrap().as_str().unwrap();
    assert!(stack.contains("jams_the_drawer"), "{stack}");
}
