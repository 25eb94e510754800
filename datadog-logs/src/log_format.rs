//! Records of the `log` crate as lines of text that Datadog can read.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Correlation;

/// A record of the `log` crate as a line of text in the format that Datadog's pipelines know from its other clients
/// (dd-trace-py: `ddtrace/commands/ddtrace_run.py`, `DD_LOG_FORMAT`), with what ties it to the trace:
///
/// ```text
/// 2026-01-02 03:04:05,678 INFO [shop::orders] [orders.rs:12] [dd.service=shop dd.env=prod dd.trace_id=… dd.span_id=…] - order placed
/// ```
///
/// The time is in UTC. Made by [`Logs::log_format`](crate::Logs::log_format), for the span that is active on the thread then. As the
/// format of another logger, here the one of the crate `env_logger`:
///
/// ```
/// use std::io::Write;
///
/// # use datadog_logs::{DDConfig, Logs};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = DDConfig::builder().environment([("", ""); 0]).service("shop").env("prod").build()?;
/// # let logs = Logs::start(&config)?;
/// let formatting = logs.clone();
/// let logger = env_logger::Builder::new()
///     .format(move |out, record| writeln!(out, "{}", formatting.log_format(record)))
///     .build();
/// # log::Log::log(&logger, &log::Record::builder().level(log::Level::Debug).build());
/// # Ok(()) }
/// ```
///
/// Loggers with a format of their own can put a [`Correlation`] into it.
#[derive(Clone, Copy, Debug)]
pub struct LogFormat<'a> {
    pub(crate) time: SystemTime,
    pub(crate) level: log::Level,
    pub(crate) target: &'a str,
    pub(crate) file: Option<&'a str>,
    pub(crate) line: Option<u32>,
    pub(crate) message: fmt::Arguments<'a>,
    pub(crate) correlation: Correlation<'a>,
}

impl fmt::Display for LogFormat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_time(f, self.time)?;
        write!(f, " {} [{}] ", self.level, self.target)?;
        if let Some(name) = self.file.and_then(|file| Path::new(file).file_name()) {
            write!(f, "[{}:{}] ", name.display(), self.line.unwrap_or(0))?;
        }
        if self.correlation.form.is_some() {
            write!(f, "[{}] ", self.correlation)?;
        }
        write!(f, "- {}", self.message)
    }
}

/// `2026-01-02 03:04:05,678`
fn write_time(f: &mut impl fmt::Write, time: SystemTime) -> fmt::Result {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since.subsec_millis();
    write!(
        f,
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{millis:03}"
    )
}

/// Year, month and day of the Gregorian calendar, this many days after 1970-01-01. Counts in years that begin in March, so
/// that the leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + 719_468;
    let day = days % DAYS_OF_400_YEARS;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let january_comes = u64::from(month >= 10);
    (
        days / DAYS_OF_400_YEARS * 400 + year + january_comes,
        month + 3 - 12 * january_comes,
        day - (153 * month + 2) / 5 + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_written_in_utc() {
        // By `date -u -d @SECONDS`.
        for (seconds, millis, expected) in [
            (0, 0, "1970-01-01 00:00:00,000"),
            (951_782_399, 1, "2000-02-28 23:59:59,001"),
            (951_782_400, 0, "2000-02-29 00:00:00,000"),
            (951_868_800, 0, "2000-03-01 00:00:00,000"),
            (1_735_689_599, 999, "2024-12-31 23:59:59,999"),
            (1_767_323_045, 6, "2026-01-02 03:04:05,006"),
            (4_107_542_400, 0, "2100-03-01 00:00:00,000"),
        ] {
            let mut text = String::new();
            let time = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis);
            write_time(&mut text, time).unwrap();
            assert_eq!(text, expected);
        }
    }
}
