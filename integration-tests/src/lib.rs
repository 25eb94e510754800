//! The servers that the tests start.

pub mod postgresql;
pub mod redis_server;

use std::ffi::OsString;
use std::time::Duration;

/// How long a server may take to start.
const LIMIT: Duration = Duration::from_secs(20);

/// What `cargo xtask test` says about where a server is.
fn told(variable: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "it is no setting of a client")]
    std::env::var_os(variable)
}
