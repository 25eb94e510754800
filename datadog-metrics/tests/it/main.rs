//! Metrics against a real DogStatsD receiver.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod agent;
mod agentless;
mod delivery;
mod losses;
mod model;
mod peer_defects;
mod sampled;
mod strings;
mod values;
