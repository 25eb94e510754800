//! Profiles and traces of one program know of each other: the real sampler, the real tracer, and an agent that gets both.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod endpoints;
mod executor;
mod spans;
mod support;
mod timeline;
