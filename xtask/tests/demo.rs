//! The demo shows all that the example sends.

use std::process::Command;

#[test]
fn the_demo_shows_every_signal_and_ends_with_the_totals() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("demo")
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}\n{said}");
    for expected in [
        "web.request",
        "postgres.query",
        "orders.received",
        "open for business",
        "resize_images",
    ] {
        assert!(
            shown.contains(expected),
            "no `{expected}` in:\n{shown}\n{said}"
        );
    }
    let last = shown.lines().last().unwrap();
    let totals = last
        .strip_prefix("totals: accepted ")
        .unwrap_or_else(|| panic!("{last}"));
    let (accepted, rest) = totals.split_once(", ").unwrap();
    assert_eq!(rest, format!("delivered {accepted}, dropped 0"));
}
