//! What the intake gets, what the account says, and what the host program sees.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod batches;
mod delivery;
mod handler;
mod lines;
mod log_format;
mod logger;
mod scrubbing;
mod support;
