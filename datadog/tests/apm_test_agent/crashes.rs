//! The report of a crash arrives at the test agent, from the next start.

use std::env;
use std::process::Command;

use datadog::{DDClient, DDConfig};
use serde_json::Value;

use crate::session::{LIMIT, Session};

/// Does something only where the test below starts this program with a directory for reports.
#[test]
fn as_a_program_that_crashes() {
    let config = DDConfig::builder().build().unwrap();
    if config.crashtracking_directory().is_some() {
        let client = DDClient::new(config).unwrap();
        let span = client.trace("cart.checkout");
        println!("span {:032x} {}", span.trace_id(), span.span_id());
        the_crashing_function_of_this_test();
    }
}

#[inline(never)]
fn the_crashing_function_of_this_test() {
    std::process::abort();
}

#[test]
fn a_crash_is_reported_with_the_active_span() {
    let Some(session) = Session::start("a_crash_is_reported_with_the_active_span") else {
        return;
    };
    for agent_url in session.agent_urls() {
        let directory = tempfile::tempdir().unwrap();
        let crashed = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "crashes::as_a_program_that_crashes",
                "--nocapture",
            ])
            .env("DD_CRASHTRACKING_ENABLED", "true")
            .env("DD_CRASHTRACKING_DIRECTORY", directory.path())
            .env("DD_SERVICE", "shop")
            // Nothing is there.
            .env("DD_TRACE_AGENT_URL", "http://127.0.0.1:9")
            .output()
            .unwrap();
        assert!(!crashed.status.success());
        let told = String::from_utf8(crashed.stdout).unwrap();
        let ids = told
            .lines()
            .find_map(|line| line.split_once("span "))
            .unwrap()
            .1;
        let (trace_id, span_id) = ids.split_once(' ').unwrap();

        let client = session.client(&agent_url, |config| {
            config
                .crashtracking_enabled(true)
                .crashtracking_directory(directory.path().display().to_string())
        });
        let report = client.flush(LIMIT);
        assert_eq!(
            (report.delivered, report.dropped.total()),
            (1, 0),
            "{report}"
        );
        let requests = session.requests();
        let sent = requests
            .iter()
            .find(|request| request.url.ends_with("/evp_proxy/v4/api/v2/errorsintake"))
            .unwrap();
        let body: Value = serde_json::from_slice(&sent.body()).unwrap();
        assert_eq!(body["error"]["type"], "SIGABRT");
        assert_eq!(body["trace_id"], trace_id);
        let tags = body["ddtags"].as_str().unwrap();
        assert!(tags.starts_with("service:shop,"), "{tags}");
        assert!(tags.contains(&format!(",span_id:{span_id},")), "{tags}");
        let frames = body["error"]["stack"]["frames"].as_array().unwrap();
        let is_own = |frame: &Value| {
            let name = frame["function"].as_str().unwrap_or_default();
            name.ends_with("the_crashing_function_of_this_test")
        };
        assert!(frames.iter().any(is_own), "{frames:?}");
        session.clear();
    }
}
