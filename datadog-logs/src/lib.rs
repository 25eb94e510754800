//! Datadog logs for Rust: structured records to the logs intake, from the program itself or through the `log`
//! crate.
//!
//! Used through the `datadog` facade (feature `logs`), or alone:
//!
//! ```
//! use datadog_config::DDConfig;
//! use datadog_logs::{Level, Logs};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let agent = datadog_local_agent::LocalAgent::start()?;
//! # let intake = agent.url();
//! let config = DDConfig::builder()
//!     .service("shop")
//!     .api_key("0123456789abcdef0123456789abcdef")
//!     # .logs_direct_submission_url(intake)
//!     .build()?;
//! let logs = Logs::start(&config)?;
//! logs.log(Level::Info, "order placed")
//!     .with("order.id", 42)
//!     .with("order.express", true);
//! if let Err(error) = "twelve".parse::<u32>() {
//!     logs.exception(&error).with("input", "twelve");
//! }
//! # let report =
//! logs.flush(std::time::Duration::from_secs(1));
//! # assert_eq!(report.delivered, 2);
//! # assert_eq!(agent.logs()[0].attribute("order.id"), Some(&42.into()));
//! # Ok(()) }
//! ```
//!
//! A [`Logger`] from [`Logs::get_logger`] has a name, attributes and a level of its own. Records of the `log` macros
//! are taken by a [`DDLogHandler`]: `logs.handler().install()?`. Panics are logged after [`Logs::log_panics`]. Loggers of plain text
//! have lines that Datadog ties to their traces by [`Logs::log_format`].
//!
//! # Where records go
//!
//! To the logs intake; or, as `DD_LOGS_OUTPUT` says, as lines of JSON to the standard output, to a file that the agent
//! tails (it is opened anew when a log rotation has moved it), or to a TCP or UDP port of the agent. The intake
//! acknowledges what it takes, and gets larger requests compressed with the feature `gzip`
//! (zstd, which it takes as well, would need a C library); elsewhere a record counts as delivered when the operating system has taken it.
//!
//! `DD_LOGS_SAMPLE_RATES` and `DD_LOGS_RATE_LIMITS` leave out a part of the records of a level, or those beyond so many
//! a second; they are counted as `sampled` and `rate limited`.
//!
//! # What a record looks like
//!
//! A [`Record`] is one flat JSON object, written once, on the caller's thread:
//!
//! - the fields that Datadog reserves: `message`, `status`, `timestamp` (milliseconds since the epoch), `service`,
//!   `hostname`, `ddsource` (always `rust`) and `ddtags`;
//! - `dd.trace_id` and `dd.span_id` of the span that was active on the thread, and `dd.service`, `dd.env`,
//!   `dd.version`, unless `DD_LOGS_INJECTION` is off;
//! - the caller's attributes. A dotted key such as `order.id` is sent as it is, because Datadog reads it as a path,
//!   just like nested objects; writing it so needs no second look at what was written before. A value that is
//!   a [`Value::Map`] is sent nested.
//!
//! No key occurs twice: a later attribute replaces an earlier one of the same key, and an attribute that has a
//! reserved name gets the prefix `custom.` instead of replacing what the client knows.
//!
//! The values of keys such as `password`, `authorization` or `api_key` are replaced by `[redacted]`, nested ones and
//! those of the `log` macros too; `DD_LOGS_REDACTED_KEYS` has the list. With the feature `scrubbing`, regular expressions
//! find what must not leave the program in the messages themselves, and in attributes that are texts, nested ones and
//! stack traces too:
//!
//! ```
//! # #[cfg(feature = "scrubbing")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use datadog_logs::{DDConfig, Level, Logs};
//! # let agent = datadog_local_agent::LocalAgent::start()?;
//! # let intake = agent.url();
//! let config = DDConfig::builder()
//!     .api_key("0123456789abcdef0123456789abcdef")
//!     # .logs_direct_submission_url(intake)
//!     // Or DD_LOGS_SCRUB_RULES, in JSON.
//!     .logs_scrub_rules([(r"\b4\d{15}\b", "[card]"), (r"(user=)\w+", "${1}***")])
//!     .build()?;
//! let logs = Logs::start(&config)?;
//! logs.log(Level::Info, "user=ann paid with 4111111111111111");
//! # logs.flush(std::time::Duration::from_secs(1));
//! # assert_eq!(agent.logs()[0].message, "user=*** paid with [card]");
//! # Ok(()) }
//! # #[cfg(not(feature = "scrubbing"))]
//! # fn main() {}
//! ```
//!
//! The rules run where the record is written, one after the other, and cost some 200 ns each for a line of 100 bytes.
//! Keys and numbers are sent as they are, and so is what the configuration says, such as the service and the tags.

mod buffer;
mod correlation;
mod destination;
mod draft;
mod encode;
mod handler;
mod header;
mod kv;
mod level;
mod lines;
mod log_format;
mod logger;
mod logs;
mod panic;
mod preamble;
mod record;
mod redact;
mod sink;
mod stdout;
mod throttle;
mod value;

pub use correlation::Correlation;
pub use handler::DDLogHandler;
pub use level::Level;
pub use log_format::LogFormat;
pub use logger::Logger;
pub use logs::Logs;
pub use record::Record;
pub use value::Value;

// What a program that uses this crate alone has to name.
pub use datadog_config::{ConfigError, DDConfig, DDConfigBuilder};
pub use datadog_transport::{FlushReport, Health, Standalone, TransportError};
