//! `patch`: which libraries the client traces, and what is still missing for the others.
//!
//! There are three ways to the spans of a library, and each [module](modules) has one of them: the layer for `tracing` reads
//! what the library emits, a hook of the process tells of it, or the program adds a line with a type of this crate's.

mod modules;
#[cfg(not(feature = "tracing-subscriber"))]
#[path = "patch/without_subscriber.rs"]
mod reach;
#[cfg(feature = "tracing-subscriber")]
#[path = "patch/with_subscriber.rs"]
mod reach;
mod report;
mod resolve;
mod state;

use datadog_config::{DDConfig, Origin};

use crate::DDClient;
use modules::{MODULES, Way};
use resolve::{Named, resolve};

#[allow(unused_imports, reason = "what asks for one has a feature of its own")]
pub(crate) use modules::ModuleId;
#[cfg(feature = "tracing-subscriber")]
pub(crate) use reach::{Probe, report_once};
pub use report::{PatchReport, PatchStatus, PatchedModule};
pub(crate) use state::Modules;

impl DDClient {
    /// Traces libraries as far as that takes no line of the program, and tells what it takes for the others.
    ///
    /// There are three kinds of them:
    ///
    /// - What a library emits with the `tracing` crate is read by the [layer](DDClient::tracing_layer). Where the
    ///   program's subscriber has it, the report says whether a filter keeps the library's spans from it. Where it comes
    ///   later, the layer logs that with its first span or event.
    /// - Panics, and statements of `diesel`, are told by hooks of the process, which this installs.
    /// - For what emits nothing, such as `axum` and `reqwest`, this crate has types to be added, one line each. The report
    ///   names them.
    ///
    /// Names of Python's libraries mean what does their work here: `psycopg2` means `tokio-postgres`, `sqlx` and `diesel`.
    ///
    /// `DD_TRACE_<NAME>_ENABLED` and `DD_PATCH_MODULES` switch libraries off, whatever code asks for, and
    /// `DD_TRACE_ENABLED` all of them. With
    /// [`tracing_patch`](crate::DDConfigBuilder::tracing_patch) the client does all this by itself when it starts, for
    /// [`tracing_modules`](crate::DDConfigBuilder::tracing_modules) or else everything. Where that is set to false, what libraries
    /// emit is not read unless they are patched here.
    ///
    /// The report is logged as well (target `datadog`): as a warning, if something in it is not as it was meant.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let config = datadog::DDConfig::builder().environment([("", "")]).build()?;
    /// use datadog::PatchStatus;
    ///
    /// let client = datadog::DDClient::new(config)?;
    /// let report = client.patch(["panic", "sqlx", "asyncpgg"]);
    /// println!("{report}"); // a table
    /// assert_eq!(report.modules()[0].status, PatchStatus::Active);
    /// assert!(matches!(report.modules()[1].status, PatchStatus::NeedsLine { .. }));
    /// assert_eq!(report.modules()[2].status, PatchStatus::Unknown { nearest: Some("asyncpg") });
    /// # Ok(()) }
    /// ```
    pub fn patch(&self, modules: impl IntoIterator<Item = impl AsRef<str>>) -> PatchReport {
        let names: Vec<String> = modules
            .into_iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        let report = PatchReport::new(self.apply(&names));
        report.log();
        report
    }

    /// [Patches](DDClient::patch) everything that is supported.
    pub fn patch_all(&self) -> PatchReport {
        self.patch(MODULES.iter().map(|module| module.name))
    }

    /// What `tracing_patch` means. Names in `DD_PATCH_MODULES` that mean nothing are told with it, or alone.
    pub(crate) fn patch_as_configured(&self) {
        let config = &self.inner.config;
        let names = match config.tracing_modules() {
            _ if !config.tracing_patch() => Vec::new(),
            [] => MODULES
                .iter()
                .map(|module| module.name.to_owned())
                .collect(),
            listed => listed.to_vec(),
        };
        let mut rows = self.apply(&names);
        let switched = config.patch_modules().iter();
        rows.extend(switched.filter_map(|(name, _)| match resolve(name) {
            Named::Nothing(nearest) => Some(unknown(name, nearest, "in DD_PATCH_MODULES")),
            _ => None,
        }));
        PatchReport::new(rows).log();
    }

    /// Which libraries are on: for the types that are added by a line.
    pub(crate) fn modules(&self) -> &Modules {
        &self.inner.modules
    }

    fn apply(&self, names: &[String]) -> Vec<PatchedModule> {
        let mut rows = Vec::new();
        for name in names {
            match resolve(name) {
                Named::Module(id) => rows.push(self.apply_one(name, id, "")),
                Named::Group(ids, note) => {
                    rows.extend(ids.iter().map(|id| self.apply_one(name, *id, note)));
                }
                Named::Nothing(nearest) => rows.push(unknown(name, nearest, "")),
            }
        }
        rows
    }

    fn apply_one(&self, asked: &str, id: ModuleId, note: &'static str) -> PatchedModule {
        let module = id.info();
        let note = if note.is_empty() { module.note } else { note };
        PatchedModule {
            asked: asked.to_owned(),
            module: Some(module.name),
            status: self.status(id),
            note,
        }
    }

    /// Does what can be done for a module.
    fn status(&self, id: ModuleId) -> PatchStatus {
        if !self.inner.tracer.is_enabled() {
            let option = "DD_TRACE_ENABLED";
            let by = place(&self.inner.config, option).unwrap_or_else(|| option.to_owned());
            return PatchStatus::Off { by };
        }
        if let Some(by) = switched_off_by(&self.inner.config, id) {
            return PatchStatus::Off { by };
        }
        let modules = self.modules();
        modules.set_on(id);
        match id.info().way {
            Way::Layer(emitted) => {
                if let Some(middleware) = modules.told_by(id) {
                    return PatchStatus::ToldBy { middleware };
                }
                let status = reach::status(self, &emitted);
                if matches!(status, PatchStatus::NeedsLine { .. }) {
                    modules.set_missed(id);
                }
                status
            }
            Way::Hook(feature, install) => {
                let missing = feature.missing();
                missing.unwrap_or_else(|| hooked(install(self)))
            }
            Way::Line(feature, line) => feature.missing().unwrap_or_else(|| {
                if modules.is_used(id) {
                    PatchStatus::Active
                } else {
                    PatchStatus::NeedsLine { line }
                }
            }),
        }
    }
}

fn hooked(is_installed: bool) -> PatchStatus {
    if is_installed {
        PatchStatus::Active
    } else {
        PatchStatus::Refused
    }
}

fn unknown(name: &str, nearest: Option<&'static str>, note: &'static str) -> PatchedModule {
    PatchedModule {
        asked: name.to_owned(),
        module: None,
        status: PatchStatus::Unknown { nearest },
        note,
    }
}

/// What of the configuration switches a module off.
fn switched_off_by(config: &DDConfig, id: ModuleId) -> Option<String> {
    let switch = id
        .names()
        .find_map(|name| config.module_switch(name))
        .filter(|switch| !switch.on)?;
    Some(switch.place.to_owned())
}

/// The variable, the setter or the file that sets an option. `None` if nobody does.
fn place(config: &DDConfig, option: &str) -> Option<String> {
    let description = config.describe();
    let row = description.rows().iter().find(|row| row.option == option)?;
    (row.origin != Origin::Default).then(|| row.place.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_takes_no_hook_is_not_active() {
        assert_eq!(hooked(true), PatchStatus::Active);
        let refused = hooked(false);
        assert_eq!(refused.to_string(), "refused: the library takes no hook");
    }
}
