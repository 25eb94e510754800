//! The program `datadog-run`, run as its users run it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod config;
mod exec;
mod local;
mod support;
mod terminal;
