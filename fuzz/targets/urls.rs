//! Addresses: no text panics, and what prints parses back to the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use datadog_config::{AgentUrl, DogStatsDUrl, IntakeUrl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    check::<AgentUrl>(text);
    check::<DogStatsDUrl>(text);
    check::<IntakeUrl>(text);
});

fn check<T: FromStr<Err: Debug> + Display + Debug + PartialEq>(text: &str) {
    if let Ok(url) = text.parse::<T>() {
        assert_eq!(
            url.to_string()
                .parse::<T>()
                .expect("what prints is an address"),
            url
        );
    }
}
