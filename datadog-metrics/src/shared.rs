//! What the callers' half and the worker's half of a client's metrics share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datadog_config::DDConfig;
use datadog_transport::Account;

use crate::encode::Template;
use crate::registry::{Limits, Registry};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) template: Template,
    pub(crate) account: Arc<Account>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(config: &DDConfig, account: Arc<Account>) -> Arc<Self> {
        let shared = Arc::new(Self {
            registry: Registry::new(Limits::default()),
            template: Template::new(config),
            account,
            closed: AtomicBool::new(false),
        });
        // Callers count in cells of their own, so whoever reads the account has to look there first.
        let counted = Arc::downgrade(&shared);
        shared.account.refresh_with(move || {
            if let Some(shared) = counted.upgrade() {
                shared.count();
            }
        });
        shared
    }

    /// A number that no other client or namespace of the process has.
    pub(crate) fn new_scope(&self) -> u64 {
        static SCOPES: AtomicU64 = AtomicU64::new(0);
        SCOPES.fetch_add(1, Ordering::Relaxed)
    }

    /// Brings the account up to date.
    pub(crate) fn count(&self) {
        let closed = self.closed.load(Ordering::Acquire);
        for context in self.registry.all() {
            context.count(&self.account, closed);
        }
    }

    /// From now on every value is dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
