//! Metrics against a real DogStatsD receiver.

mod agent;
mod delivery;
mod values;
