//! What profilers outside of the process read of it: found by name as they do, through the dynamic symbols and the list
//! of mappings.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#![expect(unsafe_code, reason = "reads memory as a profiler does")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::thread;

use datadog_config::DDConfig;
use datadog_transport::ProcessContext;
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

/// The payload of the process's page.
fn process_context() -> Vec<u8> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let named = |line: &&str| line.contains("/memfd:OTEL_CTX") || line.contains(":OTEL_CTX]");
    let lines: Vec<&str> = maps.lines().filter(named).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (start, _) = lines[0].split_once('-').unwrap();
    let header = read(u64::from_str_radix(start, 16).unwrap(), 32);
    assert_eq!(&header[..8], b"OTEL_CTX");
    assert_eq!(header[8..12], 2_u32.to_ne_bytes());
    assert_ne!(number(&header[16..24]), 0);
    let length = u32::from_ne_bytes(header[12..16].try_into().unwrap());
    read(number(&header[24..32]), length as usize)
}

/// Of a message of Protocol Buffers: its fields, all of which have lengths.
fn fields(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut fields = Vec::new();
    while let [key, rest @ ..] = bytes {
        assert_eq!(key & 7, 2);
        let (mut length, mut at) = (0, 0);
        loop {
            length |= usize::from(rest[at] & 0x7f) << (7 * at);
            at += 1;
            if rest[at - 1] < 0x80 {
                break;
            }
        }
        let (field, after) = rest[at..].split_at(length);
        fields.push((key >> 3, field));
        bytes = after;
    }
    fields
}

/// An attribute: its key and its texts.
fn attribute(bytes: &[u8]) -> String {
    let [(1, key), (2, value)] = fields(bytes)[..] else {
        panic!("{bytes:?}");
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let value = match fields(value)[..] {
        [(1, value)] => text(value),
        [(5, list)] => fields(list)
            .into_iter()
            .map(|(_, value)| format!("[{}]", text(fields(value)[0].1)))
            .collect(),
        _ => panic!("{value:?}"),
    };
    format!("{}={value}", text(key))
}

#[test]
fn profilers_outside_of_the_process_can_read_it() {
    context::set(Some(span(1)));
    assert_eq!(published(), None, "nobody asked for it");

    let config = DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .env("test")
        .version("1.2")
        .otel_context_enabled(true)
        .build()
        .unwrap();
    context::publish();
    let first = ProcessContext::publish(&config).unwrap();
    // A second client changes nothing.
    context::publish();
    let _second = ProcessContext::publish(&config).unwrap();
    drop(first);
    let context = process_context();
    let parts = fields(&context);
    let resource: Vec<String> = fields(parts[0].1)
        .into_iter()
        .map(|(_, own)| attribute(own))
        .collect();
    for expected in [
        "service.name=shop".to_owned(),
        "service.version=1.2".to_owned(),
        "deployment.environment.name=test".to_owned(),
        format!("service.instance.id={}", config.runtime_id()),
    ] {
        assert!(resource.contains(&expected), "{expected} in {resource:?}");
    }
    let others: Vec<String> = parts[1..].iter().map(|(_, own)| attribute(own)).collect();
    assert_eq!(
        others,
        [
            format!("datadog.process_tags={}", config.process_tags().unwrap()),
            "threadlocal.schema_version=tlsdesc_v1_dev".to_owned(),
            "threadlocal.attribute_key_map=[datadog.local_root_span_id]".to_owned(),
        ]
    );

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
