//! The layer for `tracing`: what arrives of spans and events.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod events;
mod left_out;
mod libraries;
mod mapping;
mod secrets;
mod spans;
mod support;
mod web;
