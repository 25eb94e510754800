//! Tags are hidden as `libdd-trace-obfuscation` hides them: what the agent makes of ours is what it makes of the
//! original, and for the URLs that programs use, it is the same already.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::HashMap;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_trace::Tracer;
use libdd_trace_obfuscation::credit_cards::is_card_number;
use libdd_trace_obfuscation::http::obfuscate_url_string;
use proptest::prelude::*;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);

/// What becomes of the values of a tag, where the agent has these rules.
fn ours(key: &'static str, values: &[String], rules: &serde_json::Value) -> Vec<String> {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([
        ("obfuscation_version", json!(1)),
        ("config", json!({"obfuscation": rules})),
    ]);
    let builder = DDConfig::builder().environment([("", "")]);
    // Busy machines take their time for so many spans.
    let builder = builder.agent_url(agent.url()).agent_timeout(LIMIT);
    let config = builder.build().unwrap();
    let tracer = Tracer::start(&config).unwrap();
    // Asks the agent for its rules.
    tracer.flush(LIMIT);
    for (number, value) in values.iter().enumerate() {
        tracer.traced(number.to_string(), |span| {
            span.set_type("http").set_tag(key, value.clone());
        });
    }
    let report = tracer.flush(LIMIT);
    assert_eq!(report.delivered, values.len() as u64, "{report}");
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let spans = agent.spans().into_iter();
    let mut by_name: HashMap<String, String> = spans
        .map(|span| (span.name.clone(), span.meta[key].clone()))
        .collect();
    let numbers = 0..values.len();
    numbers
        .map(|number| by_name.remove(&number.to_string()).unwrap())
        .collect()
}

const RULES: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

fn our_urls(urls: &[String], query: bool, digits: bool) -> Vec<String> {
    let rules = json!({"http": {"remove_query_string": query, "remove_path_digits": digits}});
    ours("http.url", urls, &rules)
}

/// A URL as programs use it.
fn plain_url() -> impl Strategy<Value = String> {
    "https?://([a-z]{1,5}(:[a-z0-9!]{1,6})?@)?[a-z0-9.-]{1,12}(:[0-9]{2,4})?(/[a-zA-Z0-9._~-]{1,6}){0,4}/?(\\?[a-z]{1,4}=[a-zA-Z0-9%@:/?]{0,8})?(#[a-z0-9/?]{1,5})?"
}

/// A URL as it may come, too.
fn odd_url() -> impl Strategy<Value = String> {
    prop_oneof![
        "([a-zA-Z+.-]{0,5}:)?(//)?([a-z:]{0,4}@)?[a-z0-9.:]{0,8}(/[a-zA-Z0-9 é\\[\\](){}<>|!'*%:;@&=+$,.~_^`\"-]{0,6}){0,4}(\\?[ -~é]{0,6})?(#[ -~é]{0,4})?",
        "(/[a-z0-9]{0,3}(%[0-9a-fA-F]{2}|%[0-9]|%)?[a-z0-9é]{0,2}){1,4}(\\?[a-z0-9]{0,4})?",
        "[ -?A-~]{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn plain_urls_are_hidden_alike(urls in proptest::collection::vec(plain_url(), 400)) {
        for (query, digits) in RULES {
            let ours = our_urls(&urls, query, digits);
            for (url, ours) in urls.iter().zip(&ours) {
                // Digits are left to the agent, where queries are not.
                let theirs = obfuscate_url_string(url, query, digits && !query);
                prop_assert_eq!(ours, &theirs, "{} {} {}", url, query, digits);
            }
        }
    }

    #[test]
    fn the_agent_makes_the_same_of_ours(
        urls in proptest::collection::vec(prop_oneof![plain_url(), odd_url()], 400),
    ) {
        for (query, digits) in RULES {
            let ours = our_urls(&urls, query, digits);
            for (url, ours) in urls.iter().zip(&ours) {
                let then = obfuscate_url_string(ours, query, digits);
                let theirs = obfuscate_url_string(url, query, digits);
                prop_assert_eq!(then, theirs, "{} became {}, {} {}", url, ours, query, digits);
            }
        }
    }

    #[test]
    fn numbers_of_cards_are_the_same(
        numbers in proptest::collection::vec(
            prop_oneof!["[1-9][0-9]{10,17}", "[1-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]{0,2}[0-9]{0,4}", "[ -][0-9 -]{8,20}x?"],
            1000,
        ),
    ) {
        for luhn in [false, true] {
            let rules = json!({"credit_cards": {"enabled": true, "luhn": luhn}});
            for (number, ours) in numbers.iter().zip(ours("card", &numbers, &rules)) {
                let theirs = if is_card_number(number, luhn) { "?" } else { number };
                prop_assert_eq!(ours, theirs, "{}", number);
            }
        }
    }
}

#[test]
fn card_numbers_with_each_beginning_are_the_same() {
    let mut numbers: Vec<String> = (0..10_000)
        .map(|begin| format!("{begin}00000001111"))
        .collect();
    numbers.extend(
        (222_000..272_200)
            .step_by(7)
            .map(|begin| format!("{begin}1111111111")),
    );
    let rules = json!({"credit_cards": {"enabled": true}});
    for (number, ours) in numbers.iter().zip(ours("card", &numbers, &rules)) {
        let theirs = if is_card_number(number, false) {
            "?"
        } else {
            number
        };
        assert_eq!(ours, theirs, "{number}");
    }
}
