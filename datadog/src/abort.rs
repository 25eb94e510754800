//! What is left to do before a panic ends the program.

use std::panic;
use std::sync::Arc;

use crate::DDClient;

/// Delivers what is buffered, the record of the panic included, where panics abort (`panic = "abort"`) and crashes are to
/// be told of. Elsewhere the client is dropped when `main` unwinds, and most panics are caught before.
pub(crate) fn flush_before(client: &DDClient) {
    if !cfg!(panic = "abort") || !client.config().crashtracking_enabled() {
        return;
    }
    let client = Arc::downgrade(&client.inner);
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        previous(info);
        if let Some(client) = client.upgrade() {
            client.transport.flush(client.config.shutdown_timeout());
        }
    }));
}
