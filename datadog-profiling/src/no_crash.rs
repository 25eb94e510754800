//! Reports of crashes where there is no unwinder for them: none.

use std::time::Instant;

use datadog_config::DDConfig;
use datadog_transport::{Pass, Seat, TransportBuilder, TransportError};

use crate::modules::Modules;
use crate::symbol::Symbols;

pub(crate) enum Starter {}

pub(crate) enum CrashReports {}

impl Starter {
    pub(crate) fn of(transport: &mut TransportBuilder) -> Result<Option<Self>, TransportError> {
        if transport.config().crashtracking_enabled() {
            log::warn!(target: "datadog", "reports of crashes need Linux on x86_64 or aarch64");
        }
        Ok(None)
    }

    pub(crate) fn start(self, _: &DDConfig, _: &Seat) -> Option<CrashReports> {
        match self {}
    }
}

impl CrashReports {
    pub(crate) fn run(&mut self, _: &Pass, _: &mut Symbols, _: &mut Modules) -> Option<Instant> {
        match *self {}
    }

    pub(crate) fn close(&mut self) {
        match *self {}
    }
}
