//! Options of service checks.

use std::time::{Duration, UNIX_EPOCH};

use crate::{ServiceCheck, Status};

/// What a service check may have beside its name and status.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceCheckOptions<'a> {
    /// When it was made, in seconds since 1970. Default: when the agent gets it.
    pub timestamp: Option<i32>,
    /// The host it is about. Default: the agent's.
    pub hostname: Option<&'a str>,
    /// Why the service is as it is.
    pub message: Option<&'a str>,
}

/// How a service is.
#[derive(Clone, Copy, Debug)]
pub enum ServiceStatus {
    /// Well.
    OK,
    /// Not as it should be.
    Warning,
    /// Down.
    Critical,
    /// Nobody knows.
    Unknown,
}

impl<'a> ServiceCheckOptions<'a> {
    /// The check of this name and status.
    pub(super) fn check(self, name: &'a str, status: ServiceStatus) -> ServiceCheck<'a> {
        let status = match status {
            ServiceStatus::OK => Status::Ok,
            ServiceStatus::Warning => Status::Warning,
            ServiceStatus::Critical => Status::Critical,
            ServiceStatus::Unknown => Status::Unknown,
        };
        let check = ServiceCheck::new(name, status)
            .hostname(self.hostname.unwrap_or_default())
            .message(self.message.unwrap_or_default());
        // A time before 1970 is none.
        match self.timestamp.map(u64::try_from) {
            Some(Ok(seconds)) => check.at(UNIX_EPOCH + Duration::from_secs(seconds)),
            _ => check,
        }
    }
}
