//! What came of a patch.

use std::fmt;

/// What [`DDClient::patch`](crate::DDClient::patch) did for each module. Prints as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchReport {
    modules: Vec<PatchedModule>,
}

/// One line of a [`PatchReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PatchedModule {
    /// The name that was asked for.
    pub asked: String,
    /// The module that it means; one of several, if that was the name of a group. `None` for a name that is not known.
    pub module: Option<&'static str>,
    /// What is to be said of it.
    pub status: PatchStatus,
    /// What else has to be so, or why this module stands for another name; may be empty.
    pub note: &'static str,
}

/// What is to be said of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatchStatus {
    /// It is traced, if the program uses it.
    Active,
    /// The program has to add a line.
    NeedsLine {
        /// The type, or the call.
        line: &'static str,
    },
    /// This program was compiled without a feature of this crate.
    FeatureMissing {
        /// The Cargo feature.
        feature: &'static str,
    },
    /// The program's subscriber has the layer, but what the library emits does not reach it.
    Filtered {
        /// What the library emits, such as `spans of level debug, target tower_http::trace::make_span`.
        emitted: String,
        /// What keeps it away.
        by: &'static str,
    },
    /// The library takes no hook.
    Refused,
    /// It is switched off.
    Off {
        /// The variable, the setter or the file that says so.
        by: String,
    },
    /// A middleware of this crate, which the program has made, tells the same: what the library emits is left out.
    ToldBy {
        /// The module of the middleware, such as `axum`.
        middleware: &'static str,
    },
    /// There is no module of this name.
    Unknown {
        /// The name that is nearest, if one is near.
        nearest: Option<&'static str>,
    },
}

impl PatchReport {
    pub(super) fn new(modules: Vec<PatchedModule>) -> Self {
        Self { modules }
    }

    /// A line for each module, in the order of the names that were asked for.
    pub fn modules(&self) -> &[PatchedModule] {
        &self.modules
    }

    /// Writes it to the `log` crate, once.
    pub(super) fn log(&self) {
        if self.modules.is_empty() {
            return;
        }
        let is_wrong = |module: &PatchedModule| {
            matches!(
                module.status,
                PatchStatus::Filtered { .. } | PatchStatus::Refused | PatchStatus::Unknown { .. }
            )
        };
        let level = if self.modules.iter().any(is_wrong) {
            log::Level::Warn
        } else {
            log::Level::Info
        };
        log::log!(target: "datadog", level, "traced libraries:\n{self}");
    }
}

impl fmt::Display for PatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.modules.iter().map(PatchedModule::title).collect();
        let width = names.iter().map(|name| name.chars().count()).max();
        let width = width.unwrap_or(0);
        for (name, module) in names.iter().zip(&self.modules) {
            write!(f, "{name:width$}  {}", module.status)?;
            if !module.note.is_empty() {
                write!(f, " ({})", module.note)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl PatchedModule {
    /// The module, after the name that was asked for, if that is another one.
    fn title(&self) -> String {
        let same = |module: &str| {
            let asked = self.asked.trim().to_ascii_lowercase();
            asked.replace('_', "-") == module
        };
        match self.module {
            Some(module) if !same(module) => format!("{}: {module}", self.asked),
            _ => self.asked.clone(),
        }
    }
}

impl fmt::Display for PatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::NeedsLine { line } => write!(f, "needs one line: {line}"),
            Self::FeatureMissing { feature } => {
                write!(f, "feature not compiled in: {feature}")
            }
            Self::Filtered { emitted, by } => write!(f, "filtered: {emitted}, {by}"),
            Self::Refused => f.write_str("refused: the library takes no hook"),
            Self::Off { by } => write!(f, "switched off by {by}"),
            Self::ToldBy { middleware } => {
                write!(
                    f,
                    "left out: the middleware for {middleware} tells the same"
                )
            }
            Self::Unknown { nearest: None } => f.write_str("unknown"),
            Self::Unknown {
                nearest: Some(name),
            } => write!(f, "unknown; {name} is near"),
        }
    }
}
