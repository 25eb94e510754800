//! The `dogstatsd` crate as a reference: for every kind, its line and ours are read as the same metric, and a program written for
//! it does the same with our stand-in for it.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod compat;
mod kinds;
mod received;
