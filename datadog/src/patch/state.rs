//! Which modules of a client are on, and which of them the program uses.

use std::sync::atomic::{AtomicU64, Ordering};

use datadog_config::DDConfig;

use super::modules::{MODULES, ModuleId, Way};
use super::resolve::{Named, resolve};
use super::{place, switched_off_by};

/// The modules of one client, shared with its layers and with what the program added by a line.
#[derive(Debug)]
pub(crate) struct Modules {
    off: AtomicU64,
    used: AtomicU64,
    /// What `patch` found no layer for.
    missed: AtomicU64,
}

impl Modules {
    /// As the configuration says. With `tracing_patch`, what `tracing_modules` leaves out is off; where it is set to false,
    /// everything that the layer would read by itself.
    pub(crate) fn new(config: &DDConfig) -> Self {
        let mut listed = Vec::new();
        for name in config.tracing_modules() {
            match resolve(name) {
                Named::Module(id) => listed.push(id),
                Named::Group(ids, _) => listed.extend(ids),
                Named::Nothing(_) => {}
            }
        }
        let is_explicit = !config.tracing_patch() && place(config, "DD_TRACE_PATCH").is_some();
        let is_left_out = |id: ModuleId| match config.tracing_patch() {
            true => !config.tracing_modules().is_empty() && !listed.contains(&id),
            false => is_explicit && matches!(id.info().way, Way::Layer(_)),
        };
        let off = MODULES
            .iter()
            .map(|module| module.id)
            .filter(|id| is_left_out(*id) || switched_off_by(config, *id).is_some());
        Self {
            off: AtomicU64::new(off.map(ModuleId::bit).sum()),
            used: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// Whether spans of the module are wanted.
    #[allow(dead_code, reason = "what asks has a feature of its own")]
    #[inline]
    pub(crate) fn is_on(&self, id: ModuleId) -> bool {
        self.off.load(Ordering::Relaxed) & id.bit() == 0
    }

    /// Whether spans of the module are wanted from the layer for `tracing`: not where a middleware of this crate tells the same
    /// requests, with their callers and routes.
    #[allow(dead_code, reason = "the layer has a feature of its own")]
    #[inline]
    pub(crate) fn is_wanted(&self, id: ModuleId) -> bool {
        self.is_on(id) && self.told_instead(id) == 0
    }

    /// The middleware of this crate, on and made by the program, that tells what the module's spans tell.
    pub(super) fn told_by(&self, id: ModuleId) -> Option<&'static str> {
        let told = self.told_instead(id);
        let middleware = MODULES.iter().find(|module| told & module.id.bit() != 0)?;
        Some(middleware.name)
    }

    #[inline]
    fn told_instead(&self, id: ModuleId) -> u64 {
        let told = self.used.load(Ordering::Relaxed) & !self.off.load(Ordering::Relaxed);
        told & instead_of(id)
    }

    pub(super) fn set_on(&self, id: ModuleId) {
        self.off.fetch_and(!id.bit(), Ordering::Relaxed);
    }

    pub(super) fn set_missed(&self, id: ModuleId) {
        self.missed.fetch_or(id.bit(), Ordering::Relaxed);
    }

    #[allow(dead_code, reason = "the layer has a feature of its own")]
    pub(super) fn is_missed(&self, id: ModuleId) -> bool {
        self.missed.load(Ordering::Relaxed) & id.bit() != 0
    }

    #[allow(dead_code, reason = "the layer has a feature of its own")]
    pub(super) fn is_any_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed) != 0
    }

    /// Notes that the program has the module's line: to be called where its type is made. Whether the module is on
    /// is to be asked for each span, as it may change.
    #[allow(dead_code, reason = "what calls it has a feature of its own")]
    pub(crate) fn set_used(&self, id: ModuleId) {
        self.used.fetch_or(id.bit(), Ordering::Relaxed);
    }

    /// Notes that the program takes traces along by itself, which is the line of libraries for messages.
    #[inline]
    pub(crate) fn set_messages_used(&self) {
        let both = ModuleId::Rdkafka.bit() | ModuleId::Lapin.bit();
        if self.used.load(Ordering::Relaxed) & both != both {
            self.used.fetch_or(both, Ordering::Relaxed);
        }
    }

    pub(super) fn is_used(&self, id: ModuleId) -> bool {
        self.used.load(Ordering::Relaxed) & id.bit() != 0
    }
}

/// The modules with a middleware that tells what a module's spans tell.
fn instead_of(id: ModuleId) -> u64 {
    match id {
        // Not Tonic: its layer is Tower's, which alone tells requests that are no calls.
        ModuleId::TowerHttp | ModuleId::AxumTracingOpentelemetry => {
            ModuleId::Axum.bit() | ModuleId::Tower.bit()
        }
        ModuleId::TracingActixWeb => ModuleId::ActixWeb.bit(),
        ModuleId::ReqwestTracing => ModuleId::Reqwest.bit(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_middleware_that_is_on_tells_instead_of_the_layer() {
        let config = DDConfig::builder()
            .environment([("DD_TRACE_AXUM_ENABLED", "false")])
            .build()
            .unwrap();
        let modules = Modules::new(&config);
        for (layer, middleware) in [
            (ModuleId::TracingActixWeb, ModuleId::ActixWeb),
            (ModuleId::ReqwestTracing, ModuleId::Reqwest),
        ] {
            assert!(modules.is_wanted(layer));
            modules.set_used(middleware);
            assert!(modules.is_on(layer) && !modules.is_wanted(layer));
        }
        modules.set_used(ModuleId::Axum);
        assert!(modules.is_wanted(ModuleId::TowerHttp), "axum is off");
        modules.set_used(ModuleId::Tower);
        assert!(!modules.is_wanted(ModuleId::TowerHttp));
        assert_eq!(modules.told_by(ModuleId::TowerHttp), Some("tower"));
        assert_eq!(modules.told_by(ModuleId::Poem), None);
        assert!(!modules.is_wanted(ModuleId::AxumTracingOpentelemetry));
        assert!(modules.is_wanted(ModuleId::Poem));
    }
}
