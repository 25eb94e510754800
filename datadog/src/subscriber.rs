//! The bridge from the `tracing` crate: its spans become Datadog spans, its events become logs.

mod event;
mod fields;
mod layer;
mod mapping;
mod open_span;
mod rules;

pub use layer::DDTracingLayer;
