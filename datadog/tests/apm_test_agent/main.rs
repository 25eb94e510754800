//! The client against Datadog's own APM test agent, over TCP and over its Unix socket.
//!
//! `cargo xtask test` installs and starts that agent. Without it these tests do nothing but say so.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

mod checks;
mod crashes;
mod logs;
mod peer;
mod profiles;
mod sampling;
mod service;
mod session;
mod stats;
mod traces;
