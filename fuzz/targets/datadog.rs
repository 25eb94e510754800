//! The five headers of the format datadog: no text panics, and what is read and written is read again as the same trace.
#![no_main]

use std::sync::LazyLock;

use datadog_fuzz::{check, headers, tracer};
use datadog_trace::{Standalone, Tracer};
use libfuzzer_sys::fuzz_target;

static TRACER: LazyLock<Standalone<Tracer>> = LazyLock::new(|| tracer(&["datadog"]));

fuzz_target!(|text: &str| check(
    &TRACER,
    &headers(
        &[
            "x-datadog-trace-id",
            "x-datadog-parent-id",
            "x-datadog-sampling-priority",
            "x-datadog-origin",
            "x-datadog-tags"
        ],
        text
    )
));
