//! The tracer of an integration, as long as its module is on.

use std::sync::Arc;

use datadog_trace::Tracer;

use crate::DDClient;
use crate::patch::{ModuleId, Modules};

#[derive(Clone, Debug)]
pub(super) struct ModuleTracer {
    tracer: Tracer,
    modules: Arc<Modules>,
    module: ModuleId,
}

impl ModuleTracer {
    /// Notes that the program uses the module.
    pub(super) fn new(client: &DDClient, module: ModuleId) -> Self {
        client.modules().set_used(module);
        Self::unused(client, module)
    }

    /// Of a module that the program may use without a line for it.
    pub(super) fn unused(client: &DDClient, module: ModuleId) -> Self {
        Self {
            tracer: client.inner.tracer.clone(),
            modules: Arc::clone(&client.inner.modules),
            module,
        }
    }

    /// `None` with tracing off, and with the module switched off.
    pub(super) fn get(&self) -> Option<&Tracer> {
        let is_on = self.tracer.is_enabled() && self.modules.is_on(self.module);
        is_on.then_some(&self.tracer)
    }
}
