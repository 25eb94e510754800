//! The whole client under scripted faults. `cargo xtask faults` runs this and puts its tables into
//! `docs/reliability.md`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

mod fault;
mod matrix;
mod restarts;
mod subject;
mod table;
