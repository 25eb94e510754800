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
    println!("cargo::rustc-check-cfg=cfg(datadog_otel_context)");
    if has_otel_context(&target) {
        println!("cargo::rustc-cfg=datadog_otel_context");
        // As a program has to do that wants to be read.
        println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic-symbol=otel_thread_ctx_v1");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// Whether the active span can be published: by what the platform offers, and where that is wanted.
#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told the features by its environment"
)]
fn has_otel_context(target: &str) -> bool {
    let is_wanted = std::env::var_os("CARGO_FEATURE_OTEL_CONTEXT").is_some();
    let is_possible = target.contains("-linux-")
        && (target.starts_with("x86_64") || target.starts_with("aarch64"));
    is_wanted && is_possible
}
