//! Notes the compiler's version, which the agent is told as the language's version, and the platform that is compiled for.

use std::process::Command;

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told the compiler by its environment"
)]
fn main() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.split(' ').nth(1).map(str::to_owned))
        .unwrap_or_default();
    println!("cargo::rustc-env=DATADOG_RUSTC_VERSION={version}");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=DATADOG_TARGET={target}");
    println!("cargo::rustc-check-cfg=cfg(datadog_loom)");
    println!("cargo::rerun-if-changed=build.rs");
}
