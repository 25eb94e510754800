//! The bridge from the `tracing` crate: its spans become Datadog spans, its events become logs.

mod callsite;
mod event;
mod fields;
mod layer;
mod mapping;
mod open_span;
mod recording;
mod rules;
mod slots;
mod statement;
mod stored;

pub use layer::DDTracingLayer;
