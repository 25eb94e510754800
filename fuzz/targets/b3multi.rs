//! The four headers of B3: no text panics, and what is read and written is read again as the same trace.
#![no_main]

use std::sync::LazyLock;

use datadog_fuzz::{check, headers, tracer};
use datadog_trace::{Standalone, Tracer};
use libfuzzer_sys::fuzz_target;

static TRACER: LazyLock<Standalone<Tracer>> = LazyLock::new(|| tracer(&["b3multi"]));

fuzz_target!(|text: &str| check(
    &TRACER,
    &headers(
        &["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"],
        text
    )
));
