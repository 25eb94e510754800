//! The servers that the tests start.

pub mod postgresql;
mod process;
pub mod redis_server;

use std::ffi::OsString;

/// What `cargo xtask test` says about where a server is.
fn told(variable: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "it is no setting of a client")]
    std::env::var_os(variable)
}
