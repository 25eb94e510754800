//! The whole agent over real sockets.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod client;
mod faults;
mod intake;
mod profiles;
mod program;
mod report;
mod smoke;
mod stats;
mod streams;
mod traces;
mod traces_v1;
