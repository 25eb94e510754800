//! `DD_TAGS`: no text panics, and the tags that come of it come again of what the setter writes.
#![no_main]

use datadog_config::{DDConfig, normalize_tag, normalize_tag_value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let build = |builder: datadog_config::DDConfigBuilder| {
        builder.build().expect("a text of tags is never an error")
    };
    let config = build(DDConfig::builder().environment([("DD_TAGS", text)]));
    assert_eq!(config.problems(), []);
    let again = build(
        DDConfig::builder()
            .environment([("", "")])
            .tags(config.tags().iter().cloned()),
    );
    assert_eq!(again.tags(), config.tags());

    for normalize in [normalize_tag, normalize_tag_value] {
        let normal = normalize(text);
        assert!(normal.chars().count() <= 200 && !normal.ends_with('_') && !normal.contains("__"));
        assert_eq!(normalize(&normal), normal);
    }
});
