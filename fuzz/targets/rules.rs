//! The rules of traces and spans: no text panics, and rules that are read are read again from what the setters write.
#![no_main]

use datadog_config::{DDConfig, Glob};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let variables = [
        ("DD_TRACE_SAMPLING_RULES", text),
        ("DD_SPAN_SAMPLING_RULES", text),
    ];
    let config = DDConfig::builder()
        .environment(variables)
        .build()
        .expect("the environment is never an error");
    let again = DDConfig::builder()
        .environment([("", "")])
        .tracing_sampling_rules(config.tracing_sampling_rules().iter().cloned())
        .span_sampling_rules(config.span_sampling_rules().iter().cloned())
        .build()
        .expect("what was read is good");
    assert_eq!(
        again.tracing_sampling_rules(),
        config.tracing_sampling_rules()
    );
    assert_eq!(again.span_sampling_rules(), config.span_sampling_rules());

    let (pattern, subject) = text.split_once('\n').unwrap_or((text, ""));
    let _ = Glob::new(pattern).matches(subject);
});
