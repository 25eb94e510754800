//! What the intake gets, what the account says, and what the host program sees.

mod batches;
mod delivery;
mod handler;
mod support;
