#![no_main]
use datadog_config::DDConfig;
libfuzzer_sys::fuzz_target!(|text: &str| {
    let config = DDConfig::builder().environment([("DD_TAGS", text)]).build().unwrap();
    let again = DDConfig::builder().environment([("A", "b")]).tags(config.tags().iter().cloned()).build().unwrap();
    assert_eq!(again.tags().len(), config.tags().len());
});
