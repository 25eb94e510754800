//! The panic hook. A binary of its own, because the hook belongs to the whole process.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_logs::Logs;

#[test]
fn panics_are_logged_and_the_hook_before_still_runs() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .api_key("0123456789abcdef0123456789abcdef")
        .logs_direct_submission_url(agent.url())
        .build()
        .unwrap();
    let logs = Logs::start(&config).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    panic::set_hook(Box::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    logs.log_panics();

    let worker = thread::Builder::new().name("till".to_owned());
    let line = line!() + 1;
    let worker = worker.spawn(|| panic!("drawer {} is stuck", 7)).unwrap();
    assert!(worker.join().is_err());
    assert!(panic::catch_unwind(|| panic::panic_any(12)).is_err());
    logs.shutdown(Duration::from_secs(20));

    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let [stuck, other] = agent.logs().try_into().unwrap();
    assert_eq!(stuck.message, "drawer 7 is stuck");
    assert_eq!(stuck.status.as_deref(), Some("critical"));
    let text = |name: &str| stuck.attribute(name).unwrap().as_str().unwrap().to_owned();
    assert_eq!(text("error.kind"), "panic");
    assert_eq!(text("error.message"), "drawer 7 is stuck");
    assert_eq!(text("logger.thread_name"), "till");
    assert!(text("code.file.path").ends_with("panics.rs"));
    assert_eq!(stuck.attribute("code.line.number"), Some(&line.into()));
    assert_eq!(other.message, "the thread panicked");
}
