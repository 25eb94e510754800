//! The header of W3C Baggage: no text panics, and what is read and written is read again as the same trace.
#![no_main]

use std::sync::LazyLock;

use datadog_fuzz::{check, headers, tracer};
use datadog_trace::{Standalone, Tracer};
use libfuzzer_sys::fuzz_target;

static TRACER: LazyLock<Standalone<Tracer>> = LazyLock::new(|| tracer(&["baggage"]));

fuzz_target!(|text: &str| check(&TRACER, &headers(&["baggage"], text)));
