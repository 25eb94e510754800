//! Nothing but tests: see `tests/libraries`.
