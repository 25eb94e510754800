//! The demo shows all that the example sends.

use std::process::Command;

#[test]
fn the_demo_shows_every_signal_and_ends_with_the_totals() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("demo.svg");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["demo", "--flamegraph"])
        .arg(&picture)
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
    // In the picture is what the time was spent in, on the span that it belongs to.
    let picture = std::fs::read_to_string(picture).unwrap();
    assert!(picture.starts_with("<?xml") && picture.trim_end().ends_with("</svg>"));
    for expected in ["resize_images", "image.resize"] {
        assert!(picture.contains(expected), "no `{expected}` in:\n{picture}");
    }
    let last = shown.lines().last().unwrap();
    let totals = last
        .strip_prefix("totals: accepted ")
        .unwrap_or_else(|| panic!("{last}"));
    let (accepted, rest) = totals.split_once(", ").unwrap();
    assert_eq!(rest, format!("delivered {accepted}, dropped 0"));
}
