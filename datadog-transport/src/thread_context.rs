//! The active span of each thread, published in memory for profilers outside of the process: the thread-local variable
//! `otel_thread_ctx_v1` points to a record (open-telemetry/opentelemetry-specification: `oteps/profiles/4947-thread-ctx.md`,
//! a draft).
//!
//! Such a profiler finds the variable by its name among the dynamic symbols of the program, where a linker puts those of
//! an executable only on request: `-Wl,--export-dynamic-symbol=otel_thread_ctx_v1`.
#![expect(
    unsafe_code,
    reason = "the compiler can't make thread-local variables with a name and a model of access of their own"
)]

use std::arch::{asm, global_asm};
use std::ffi::CStr;
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU64, Ordering, compiler_fence,
};

use crate::alone::Alone;
use crate::context::{ActiveSpan, ThreadContext};

/// The name that readers look for.
const SYMBOL: &CStr = c"otel_thread_ctx_v1";

/// The names of the attributes in a record, by their indexes there (dd-trace-js:
/// `packages/dd-trace/src/otel-thread-context.js`).
const ATTRIBUTES: &[&str] = &["datadog.local_root_span_id"];

/// The form of the records.
const SCHEMA: &str = "tlsdesc_v1_dev";

/// An attribute's index and length, and the id in hexadecimal.
const ATTRIBUTE_BYTES: usize = 2 + 16;

static ON: Alone<AtomicBool> = Alone(AtomicBool::new(false));

thread_local! {
    // Neither made lazily nor dropped: readers look at it at any time of the thread's life.
    static RECORD: Record = const { Record::empty() };
}

/// What readers read while the thread stands still, so that only the compiler has to keep the order.
#[repr(C)]
struct Record {
    /// Ids have the most significant byte first.
    trace_id: [AtomicU64; 2],
    span_id: AtomicU64,
    /// 1 for a record that may be read.
    valid: AtomicU8,
    /// None are known when a span becomes active: whether the trace is kept is decided later.
    trace_flags: AtomicU8,
    attributes_bytes: AtomicU16,
    attributes: [AtomicU8; ATTRIBUTE_BYTES],
    // From here on it is ours.
    /// What the attribute says.
    local_root_id: AtomicU64,
    /// Whether the variable points here.
    attached: AtomicBool,
}

const _: () = {
    assert!(offset_of!(Record, trace_id) == 0);
    assert!(offset_of!(Record, span_id) == 16);
    assert!(offset_of!(Record, valid) == 24);
    assert!(offset_of!(Record, trace_flags) == 25);
    assert!(offset_of!(Record, attributes_bytes) == 26);
    assert!(offset_of!(Record, attributes) == 28);
};

/// Publishes the spans that become active from now on, for as long as the process runs: who reads them can't be told to
/// stop.
pub(crate) fn publish() -> Option<ThreadContext> {
    // A static program with musl has no loader to ask, but may have the symbol.
    if cfg!(all(target_env = "musl", target_feature = "crt-static")) {
        log::info!(
            target: "datadog",
            "profilers outside of the process find its spans if it was linked with -Wl,--export-dynamic-symbol={}, which a static program can't find out",
            SYMBOL.to_string_lossy()
        );
    } else if !is_exported() {
        log::warn!(
            target: "datadog",
            "profilers outside of the process can't find its spans: link the program with -Wl,--export-dynamic-symbol={}",
            SYMBOL.to_string_lossy()
        );
    }
    ON.0.store(true, Ordering::Relaxed);
    Some(ThreadContext {
        schema: SCHEMA,
        attributes: ATTRIBUTES,
    })
}

/// Shows the span that is active on this thread.
#[inline]
pub(crate) fn show_with(span: impl FnOnce() -> Option<ActiveSpan>) {
    if ON.0.load(Ordering::Relaxed) {
        // A thread that is being torn down shows none.
        let _ = RECORD.try_with(|record| record.set(span()));
    }
}

/// Whether readers can find the variable.
fn is_exported() -> bool {
    // SAFETY: the name ends with a 0; nothing is done with the address.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, SYMBOL.as_ptr()) };
    !found.is_null()
}

impl Record {
    const fn empty() -> Self {
        Self {
            trace_id: [const { AtomicU64::new(0) }; 2],
            span_id: AtomicU64::new(0),
            valid: AtomicU8::new(0),
            trace_flags: AtomicU8::new(0),
            attributes_bytes: AtomicU16::new(ATTRIBUTE_BYTES as u16),
            attributes: [const { AtomicU8::new(0) }; ATTRIBUTE_BYTES],
            local_root_id: AtomicU64::new(0),
            attached: AtomicBool::new(false),
        }
    }

    fn set(&self, span: Option<ActiveSpan>) {
        self.valid.store(0, Ordering::Relaxed);
        let Some(span) = span else { return };
        compiler_fence(Ordering::SeqCst);
        for (half, shift) in self.trace_id.iter().zip([64, 0]) {
            half.store(((span.trace_id >> shift) as u64).to_be(), Ordering::Relaxed);
        }
        self.span_id.store(span.span_id.to_be(), Ordering::Relaxed);
        if self.local_root_id.load(Ordering::Relaxed) != span.local_root_id {
            self.set_local_root(span.local_root_id);
        }
        compiler_fence(Ordering::SeqCst);
        self.valid.store(1, Ordering::Relaxed);
        if !self.attached.load(Ordering::Relaxed) {
            self.attach();
        }
    }

    /// Most spans have the same as the one before.
    #[cold]
    fn set_local_root(&self, id: u64) {
        self.local_root_id.store(id, Ordering::Relaxed);
        let [index, length, digits @ ..] = &self.attributes;
        index.store(0, Ordering::Relaxed);
        length.store(16, Ordering::Relaxed);
        for (at, digit) in digits.iter().rev().enumerate() {
            let value = (id >> (4 * at)) as usize & 15;
            digit.store(b"0123456789abcdef"[value], Ordering::Relaxed);
        }
    }

    #[cold]
    fn attach(&self) {
        self.attached.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let own = ptr::from_ref(self).cast_mut();
        // SAFETY: the variable has the size and alignment of a pointer, lives as long as this thread, and nobody else
        // writes to it.
        unsafe { AtomicPtr::from_ptr(variable()) }.store(own, Ordering::Relaxed);
    }
}

// The variable. The compiler would give one of its own neither this name nor the TLSDESC access that readers
// understand best.
global_asm!(
    ".pushsection .tbss.otel_thread_ctx_v1,\"awT\",@nobits",
    ".globl otel_thread_ctx_v1",
    ".type otel_thread_ctx_v1, @tls_object",
    ".size otel_thread_ctx_v1, 8",
    ".balign 8",
    "otel_thread_ctx_v1:",
    ".zero 8",
    ".popsection",
);

/// The address of this thread's variable. The instructions are those of the platform's binary interface, which linkers
/// know to replace by simpler ones (x86-64 psABI: "TLS Descriptors").
#[cfg(target_arch = "x86_64")]
fn variable() -> *mut *mut Record {
    let address: *mut *mut Record;
    // SAFETY: the called function keeps all registers but the flags and the one that it returns.
    unsafe {
        asm!(
            "leaq otel_thread_ctx_v1@tlsdesc(%rip), %rax",
            "call *otel_thread_ctx_v1@tlscall(%rax)",
            "addq %fs:0, %rax",
            out("rax") address,
            options(att_syntax),
        );
    }
    address
}

/// The address of this thread's variable. The instructions are those of the platform's binary interface, which linkers
/// know to replace by simpler ones (ARM-software/abi-aa: `sysvabi64.rst`, "General Dynamic").
#[cfg(target_arch = "aarch64")]
fn variable() -> *mut *mut Record {
    let address: *mut *mut Record;
    // SAFETY: the called function keeps all registers but the flags and those that are named here.
    unsafe {
        asm!(
            "adrp x0, :tlsdesc:otel_thread_ctx_v1",
            "ldr x1, [x0, #:tlsdesc_lo12:otel_thread_ctx_v1]",
            "add x0, x0, :tlsdesc_lo12:otel_thread_ctx_v1",
            ".tlsdesccall otel_thread_ctx_v1",
            "blr x1",
            "mrs x1, tpidr_el0",
            "add x0, x0, x1",
            out("x0") address,
            out("x1") _,
            out("x30") _,
        );
    }
    address
}
