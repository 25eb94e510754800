//! What profilers outside of the process have to know to read the active spans of its threads.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use common::{config, start};
use datadog_local_agent::LocalAgent;

/// The process context, as others read it (`src/process_context.rs` has the tests of its form).
fn process_context() -> Vec<u8> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.contains("OTEL_CTX")).unwrap();
    let (start, _) = line.split_once('-').unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut header = [0; 32];
    let start = u64::from_str_radix(start, 16).unwrap();
    memory.read_exact_at(&mut header, start).unwrap();
    let length = u32::from_ne_bytes(header[12..16].try_into().unwrap());
    let mut payload = vec![0; length as usize];
    let place = u64::from_ne_bytes(header[24..32].try_into().unwrap());
    memory.read_exact_at(&mut payload, place).unwrap();
    payload
}

#[test]
fn the_process_context_says_how_to_read_threads() {
    let has = |payload: &[u8], text: &str| {
        let mut parts = payload.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    };
    let agent = LocalAgent::start().unwrap();
    let expected = [
        // Key and value: field numbers, lengths and texts.
        "\u{a}\u{1a}threadlocal.schema_version\u{12}\u{10}\u{a}\u{e}tlsdesc_v1_dev",
        "\u{a}\u{1d}threadlocal.attribute_key_map\u{12}\u{20}\u{2a}\u{1e}\u{a}\u{1c}\u{a}\u{1a}datadog.local_root_span_id",
    ];
    let _off = start(config(&agent.url()));
    let payload = process_context();
    assert!(expected.iter().all(|text| !has(&payload, text)));
    let _on = start(config(&agent.url()).otel_context_enabled(true));
    let payload = process_context();
    assert!(
        expected.iter().all(|text| has(&payload, text)),
        "{payload:?}"
    );
}
