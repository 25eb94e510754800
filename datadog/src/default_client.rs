//! The client that a program uses where it has no other at hand: `#[traced]`, libraries, functions deep down.

use std::fmt;
use std::sync::OnceLock;

use datadog_config::{ConfigError, DDConfig};
use datadog_transport::{TransportBuilder, TransportError};

use crate::DDClient;

static DEFAULT: OnceLock<DDClient> = OnceLock::new();

/// The default client. Where none [was set](DDClient::set_default), one that is off: spans are empty, and everything else
/// is dropped.
pub fn client() -> &'static DDClient {
    static OFF: OnceLock<DDClient> = OnceLock::new();
    default_client().unwrap_or_else(|| OFF.get_or_init(off))
}

/// The default client, if one was set.
#[inline]
pub fn default_client() -> Option<&'static DDClient> {
    DEFAULT.get()
}

impl DDClient {
    /// Makes this client the default one, for the rest of the program. `false` if there is one already, which stays.
    ///
    /// The default client is never dropped, so nothing is delivered at the end of the program unless it is
    /// [flushed](Self::flush) or [shut down](Self::shutdown).
    pub fn set_default(&self) -> bool {
        DEFAULT.set(self.clone()).is_ok()
    }
}

/// Starts a client from the environment and the host's configuration files, and makes it the default one. It is shut down
/// when what this returns is dropped:
///
/// ```
/// # fn work() {}
/// fn main() -> Result<(), datadog::InitError> {
///     let _datadog = datadog::init_from_env()?;
///     work(); // anywhere: datadog::client(), #[datadog::traced]
///     Ok(())
/// } // what is buffered is delivered here
/// ```
///
/// # Errors
///
/// See [`InitError`].
pub fn init_from_env() -> Result<InitGuard, InitError> {
    if DEFAULT.get().is_some() {
        return Err(InitError::AlreadySet);
    }
    let config = DDConfig::from_env().map_err(InitError::Config)?;
    let client = DDClient::new(config).map_err(InitError::Transport)?;
    if client.set_default() {
        Ok(InitGuard { client })
    } else {
        Err(InitError::AlreadySet)
    }
}

/// Keeps the default client running. When it is dropped, what is buffered is delivered within
/// [`DDConfig::shutdown_timeout`], and the client stops, for the rest of the program: it stays the default one.
#[derive(Debug)]
#[must_use = "the client is shut down as soon as this is dropped: bind it to a name, such as `_datadog`"]
pub struct InitGuard {
    client: DDClient,
}

impl Drop for InitGuard {
    fn drop(&mut self) {
        self.client
            .shutdown(self.client.config().shutdown_timeout());
    }
}

/// Why there is no new default client.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// The configuration can't be used.
    Config(ConfigError),
    /// The client could not be started.
    Transport(TransportError),
    /// There is a default client already.
    AlreadySet,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::AlreadySet => f.write_str("there is a default client already"),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Transport(error) => error.source(),
            Self::AlreadySet => None,
        }
    }
}

/// A client that does nothing, not even have a thread.
fn off() -> DDClient {
    let config = DDConfig::builder()
        .environment([("", "")])
        .tracing_enabled(false)
        .build();
    let client = config.map_err(InitError::Config).and_then(|config| {
        let closed = |transport: TransportBuilder| Ok(transport.closed());
        DDClient::make(config, closed).map_err(InitError::Transport)
    });
    match client {
        Ok(client) => client,
        Err(error) => {
            unreachable!("the defaults are no mistake, and need neither TLS nor a thread: {error}")
        }
    }
}
