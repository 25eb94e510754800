//! The reference page says what the table says.

#[test]
fn the_page_is_current() {
    let written = include_str!("../../docs/configuration.md");
    assert!(
        written == datadog_config::options_page(),
        "docs/configuration.md is out of date: run `cargo xtask options`"
    );
}
