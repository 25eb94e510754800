//! Who the process is, in a page of memory that is named so that readers find it.
#![expect(
    unsafe_code,
    reason = "pages of memory with names have no safe interface"
)]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use datadog_config::DDConfig;

use super::thread::ATTRIBUTES;

/// What readers look for: the name of the page, and its first bytes.
const NAME: &std::ffi::CStr = c"OTEL_CTX";

/// The version of the header.
const VERSION: u32 = 2;

/// The form of the threads' records.
const SCHEMA: &str = "tlsdesc_v1_dev";

/// The header, behind which the payload follows: the name, the version, the size of the payload, the time of the
/// publication and the address of the payload.
const HEADER_BYTES: usize = 32;
const TIME_AT: usize = 16;

/// The process that published. A forked child has another id, and does not inherit the page.
static PUBLISHED: AtomicU32 = AtomicU32::new(0);

/// Publishes the process, if nobody in it did. There may be one such page in a process.
pub(super) fn publish(config: &DDConfig) -> io::Result<()> {
    let own = process::id();
    if PUBLISHED.swap(own, Ordering::AcqRel) == own {
        return Ok(());
    }
    write(&payload(config)).inspect_err(|_| PUBLISHED.store(0, Ordering::Release))
}

fn write(payload: &[u8]) -> io::Result<()> {
    let size = HEADER_BYTES + payload.len();
    let page = map(size)?;
    // SAFETY: the page has room for both, nobody else writes to it, and it is never unmapped.
    let bytes = unsafe { std::slice::from_raw_parts_mut(page, size) };
    bytes[HEADER_BYTES..].copy_from_slice(payload);
    bytes[..8].copy_from_slice(NAME.to_bytes());
    bytes[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    bytes[12..16].copy_from_slice(&(payload.len() as u32).to_ne_bytes());
    let address = page as u64 + HEADER_BYTES as u64;
    bytes[24..32].copy_from_slice(&address.to_ne_bytes());
    // Last, after all the rest: it says that the page may be read.
    fence(Ordering::SeqCst);
    // SAFETY: it is within the page, on an address that is a multiple of 8, and the slice is not used any more.
    let time = unsafe { AtomicU64::from_ptr(page.add(TIME_AT).cast()) };
    time.store(since_boot().max(1), Ordering::SeqCst);
    // For kernels that don't show the name of the file. Some can't, which is all right.
    // SAFETY: the page is ours, and the name lives for ever.
    unsafe {
        libc::prctl(
            libc::PR_SET_VMA,
            libc::PR_SET_VMA_ANON_NAME as libc::c_ulong,
            page as libc::c_ulong,
            size as libc::c_ulong,
            NAME.as_ptr(),
        )
    };
    Ok(())
}

/// Memory of this size, which a forked child does not have: of a file of the name, or else without a file.
fn map(size: usize) -> io::Result<*mut u8> {
    let file = file(size).ok();
    let (flags, descriptor) = match &file {
        Some(file) => (libc::MAP_PRIVATE, file.as_raw_fd()),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses a free address.
    let page = unsafe { libc::mmap(ptr::null_mut(), size, access, flags, descriptor, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: this is the memory that was just mapped.
    ok(unsafe { libc::madvise(page, size, libc::MADV_DONTFORK) })?;
    Ok(page.cast())
}

fn file(size: usize) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Older kernels don't know the second flag.
    let opened = open(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| open(flags));
    let file = opened?;
    // SAFETY: the file is open.
    ok(unsafe { libc::ftruncate(file.as_raw_fd(), size as libc::off_t) })?;
    Ok(file)
}

fn open(flags: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: the name ends with a 0.
    let file = unsafe { libc::memfd_create(NAME.as_ptr(), flags) };
    ok(file)?;
    // SAFETY: it was opened here, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

/// Nanoseconds since the system started.
fn since_boot() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value of its type.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn ok(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The message `ProcessContext`, with attributes by the names of OpenTelemetry's conventions (open-telemetry/
/// opentelemetry-proto: `opentelemetry/proto/common/v1/common.proto`, `opentelemetry/proto/resource/v1/resource.proto`).
fn payload(config: &DDConfig) -> Vec<u8> {
    let mut resource = Vec::new();
    for (key, value) in [
        ("service.name", Some(config.service())),
        ("service.version", config.version()),
        ("service.instance.id", Some(config.runtime_id())),
        ("deployment.environment.name", config.env()),
        ("host.name", config.hostname()),
        ("telemetry.sdk.name", Some("datadog")),
        ("telemetry.sdk.language", Some("rust")),
        ("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION"))),
    ] {
        if let Some(value) = value {
            field(&mut resource, 1, &attribute(key, &text(value)));
        }
    }
    let mut names = Vec::new();
    for name in ATTRIBUTES {
        field(&mut names, 1, &text(name));
    }
    let mut list = Vec::new();
    field(&mut list, 5, &names);
    let mut context = Vec::new();
    field(&mut context, 1, &resource);
    field(
        &mut context,
        2,
        &attribute("threadlocal.schema_version", &text(SCHEMA)),
    );
    field(
        &mut context,
        2,
        &attribute("threadlocal.attribute_key_map", &list),
    );
    context
}

/// The message `KeyValue`.
fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, key.as_bytes());
    field(&mut out, 2, value);
    out
}

/// The message `AnyValue` with a text.
fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, text.as_bytes());
    out
}

/// Appends a field of Protocol Buffers that has a length.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}
