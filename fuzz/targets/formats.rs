//! The headers of all formats together, as lines `name: value` in any order: no text panics, and what is read and written
//! is read again as the same trace.
#![no_main]

use std::sync::LazyLock;

use datadog_fuzz::{check, request, tracer};
use datadog_trace::{Standalone, Tracer};
use libfuzzer_sys::fuzz_target;

static TRACER: LazyLock<Standalone<Tracer>> =
    LazyLock::new(|| tracer(&["datadog", "tracecontext", "b3", "b3multi", "baggage"]));

fuzz_target!(|text: &str| check(&TRACER, &request(text)));
