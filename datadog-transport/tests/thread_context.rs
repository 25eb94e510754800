//! What profilers outside of the process read of its threads: found by name as they do, through the dynamic symbols.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(unsafe_code, reason = "reads memory as a profiler does")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::thread;

use datadog_transport::context::{self, ActiveSpan};

/// A record: trace id, span id and local root as they are written in texts.
type Ids = (String, String, String);

/// The bytes of this process at an address, as others read them.
fn read(address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let memory = File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, address).unwrap();
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the variable of this thread says.
fn published() -> Option<Ids> {
    let name = c"otel_thread_ctx_v1";
    // SAFETY: the name ends with a 0. For a thread-local variable, the answer is where that of this thread is.
    let variable = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!variable.is_null(), "it is no dynamic symbol");
    let record = number(&read(variable as u64, 8));
    if record == 0 {
        return None;
    }
    assert_eq!(record % 2, 0);
    let head = read(record, 28);
    if head[24] != 1 {
        return None;
    }
    let length = u16::from_ne_bytes([head[26], head[27]]);
    let attributes = read(record + 28, length.into());
    assert_eq!(attributes[..2], [0, 16]);
    let local_root = String::from_utf8(attributes[2..].to_vec()).unwrap();
    Some((hex(&head[..16]), hex(&head[16..24]), local_root))
}

fn span(id: u64) -> ActiveSpan {
    ActiveSpan {
        trace_id: (0x0123_4567_89ab_cdef << 64) | u128::from(id),
        span_id: id,
        local_root_id: id / 16,
    }
}

fn shown(id: u64) -> Option<Ids> {
    Some((
        format!("0123456789abcdef{id:016x}"),
        format!("{id:016x}"),
        format!("{:016x}", id / 16),
    ))
}

#[test]
#[cfg_attr(
    all(target_env = "musl", target_feature = "crt-static"),
    ignore = "a static program can't look up its own symbols, as this test does"
)]
fn profilers_outside_of_the_process_can_read_the_active_span() {
    context::set(Some(span(1)));
    assert_eq!(published(), None, "nobody asked for it");

    let described = context::publish().unwrap();
    assert_eq!(described.schema, "tlsdesc_v1_dev");
    // The index of the attribute in a record is its place here.
    assert_eq!(described.attributes, ["datadog.local_root_span_id"]);

    context::set(Some(span(0xfedc_ba98_7654_3210)));
    assert_eq!(published(), shown(0xfedc_ba98_7654_3210));
    // Each thread has its own.
    let both = Barrier::new(2);
    thread::scope(|scope| {
        for id in [32, 48] {
            let both = &both;
            scope.spawn(move || {
                assert_eq!(published(), None);
                let before = context::replace(Some(span(id)));
                assert_eq!(before, None);
                both.wait();
                assert_eq!(published(), shown(id));
                context::set(Some(span(id + 1)));
                assert_eq!(published(), shown(id + 1));
                both.wait();
                context::set(None);
                assert_eq!(published(), None);
            });
        }
    });
    assert_eq!(published(), shown(0xfedc_ba98_7654_3210));
    context::set(None);
    assert_eq!(published(), None);
}
