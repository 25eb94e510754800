//! Profiles as files, for those who want to look at them without a backend.

use std::{fs, io, process};

use datadog_config::DDConfig;

pub(crate) struct Output {
    /// How the paths begin; `None` where no files are wanted.
    prefix: Option<String>,
    written: u64,
}

impl Output {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            prefix: config.profiling_output_pprof().map(str::to_owned),
            written: 0,
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.prefix.is_some()
    }

    /// Writes the next file, if files are wanted.
    pub(crate) fn write(&mut self, pprof: &[u8]) -> io::Result<()> {
        let Some(prefix) = &self.prefix else {
            return Ok(());
        };
        self.written += 1;
        let path = format!("{prefix}.{}.{}.pprof", process::id(), self.written);
        fs::write(&path, pprof).map_err(|error| io::Error::other(format!("{path}: {error}")))
    }
}
