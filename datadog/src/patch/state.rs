//! Which modules of a client are on, and which of them the program uses.

use std::sync::atomic::{AtomicU64, Ordering};

use datadog_config::DDConfig;

use super::modules::{MODULES, ModuleId};
use super::resolve::{Named, resolve};
use super::switched_off_by;

/// The modules of one client, shared with its layers and with what the program added by a line.
#[derive(Debug)]
pub(crate) struct Modules {
    off: AtomicU64,
    used: AtomicU64,
}

impl Modules {
    /// As the configuration says. With `tracing_patch`, what `tracing_modules` leaves out is off.
    pub(crate) fn new(config: &DDConfig) -> Self {
        let mut listed = Vec::new();
        for name in config.tracing_modules() {
            match resolve(name) {
                Named::Module(id) => listed.push(id),
                Named::Group(ids, _) => listed.extend(ids),
                Named::Nothing(_) => {}
            }
        }
        let is_left_out = |id| {
            config.tracing_patch() && !config.tracing_modules().is_empty() && !listed.contains(&id)
        };
        let off = MODULES
            .iter()
            .map(|module| module.id)
            .filter(|id| is_left_out(*id) || switched_off_by(config, *id).is_some());
        Self {
            off: AtomicU64::new(off.map(ModuleId::bit).sum()),
            used: AtomicU64::new(0),
        }
    }

    /// Whether spans of the module are wanted.
    #[allow(dead_code, reason = "what asks has a feature of its own")]
    #[inline]
    pub(crate) fn is_on(&self, id: ModuleId) -> bool {
        self.off.load(Ordering::Relaxed) & id.bit() == 0
    }

    pub(super) fn set_on(&self, id: ModuleId) {
        self.off.fetch_and(!id.bit(), Ordering::Relaxed);
    }

    /// Notes that the program has the module's line: to be called where its type is made. Whether the module is on
    /// is to be asked for each span, as it may change.
    #[allow(dead_code, reason = "what calls it has a feature of its own")]
    pub(crate) fn set_used(&self, id: ModuleId) {
        self.used.fetch_or(id.bit(), Ordering::Relaxed);
    }

    pub(super) fn is_used(&self, id: ModuleId) -> bool {
        self.used.load(Ordering::Relaxed) & id.bit() != 0
    }
}
