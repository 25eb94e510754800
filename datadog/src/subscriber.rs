//! The bridge from the `tracing` crate: its spans become Datadog spans, its events become logs.

mod callsite;
mod event;
mod failure;
mod fields;
mod http;
mod install;
mod layer;
mod left_out;
mod lock;
mod log_record;
mod mapping;
mod names;
mod open_span;
mod operation;
mod recent;
mod recording;
mod rules;
mod shown;
mod slots;
mod span_event;
mod statement;
mod stored;
mod url;

pub use layer::DDTracingLayer;
