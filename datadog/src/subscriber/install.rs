//! The layer as the whole of the program's subscriber.

use tracing_core::Dispatch;
use tracing_core::dispatcher::{self, SetGlobalDefaultError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use super::layer::DDTracingLayer;

impl DDTracingLayer {
    /// Makes this the program's subscriber, for a program that has no other layer: a registry with nothing else in it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = datadog::DDConfig::builder().environment([("", "")]).build()?;
    /// # let client = datadog::DDClient::new(config)?;
    /// client.tracing_layer().install()?;
    /// assert!(client.tracing_layer().install().is_err(), "there is one already");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The program already has a subscriber.
    pub fn install(self) -> Result<(), SetGlobalDefaultError> {
        dispatcher::set_global_default(Dispatch::new(registry().with(self)))
    }
}
