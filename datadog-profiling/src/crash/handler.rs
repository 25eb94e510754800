//! Takes the signals that end a program, lets the writer write, and hands them on to whoever had them before.
#![expect(unsafe_code, reason = "signal handlers have no safe interface")]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use datadog_transport::context::{self, ActiveSpan};
use libc::{sigaction, siginfo_t, ucontext_t};

use crate::timer::bell::Bell;
use crate::timer::signal::{self, Registers};
use crate::timer::sys;

/// The signals of crashes, and their names.
const SIGNALS: [(c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
];

/// How long the crashed thread waits for the writer, which needs some ten milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

const AN_HOUR: Duration = Duration::from_secs(3600);

/// The registers by the names of the processor's maker, in the system's order.
#[cfg(target_arch = "x86_64")]
const NAMES: [&str; 18] = [
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax",
    "rcx", "rsp", "rip", "eflags",
];
#[cfg(target_arch = "aarch64")]
const NAMES: [&str; 33] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "x30", "sp", "pc",
];

/// What only the crashed thread knows.
#[derive(Clone, Copy)]
pub(super) struct Crash {
    pub(super) signal: c_int,
    pub(super) code: c_int,
    /// What the signal is about: in most cases the address that could not be used.
    pub(super) address: u64,
    pub(super) thread: u32,
    pub(super) thread_name: [u8; 16],
    pub(super) span: Option<ActiveSpan>,
    pub(super) registers: Registers,
    all_registers: [u64; NAMES.len()],
}

/// The process whose crashes are written; 0 for none. A forked child has no writer.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// The threads that have no report: the writer, and the one that crashed and may do so again while it is handed on.
static WRITER: AtomicU32 = AtomicU32::new(0);
static CRASHED: AtomicU32 = AtomicU32::new(0);
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Nobody ever waits for it.
static CRASH: Mutex<Option<Crash>> = Mutex::new(None);
/// From the crashed thread to the writer, and back.
static CRASH_IS_THERE: Bell = Bell::new();
static CRASH_IS_WRITTEN: Bell = Bell::new();
/// The actions of [`SIGNALS`] that were there before.
static PREVIOUS: [OnceLock<sigaction>; SIGNALS.len()] = [const { OnceLock::new() }; SIGNALS.len()];

impl Crash {
    /// All registers with their names.
    pub(super) fn all_registers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.all_registers)
    }
}

/// Becomes the writer's thread of this process: crashes are reported from now on.
pub(super) fn become_writer() {
    WRITER.store(sys::thread_id(), Ordering::Release);
    PROCESS.store(std::process::id(), Ordering::Release);
}

/// Waits for a crash, on the writer's thread. `None` after [`end_writer`].
pub(super) fn next_crash() -> Option<Crash> {
    while PROCESS.load(Ordering::Acquire) != 0 {
        let crash = CRASH.try_lock().ok().and_then(|mut crash| crash.take());
        if crash.is_some() {
            return crash;
        }
        CRASH_IS_THERE.wait(AN_HOUR);
    }
    None
}

/// Lets the crashed thread go on.
pub(super) fn crash_is_written() {
    CRASH_IS_WRITTEN.ring();
}

/// Crashes are not reported from now on.
pub(super) fn end_writer() {
    PROCESS.store(0, Ordering::Release);
    CRASH_IS_THERE.ring();
}

/// Puts the handler in the place of those that are there, once in a process: later ones may hand on to it. Signals that are
/// ignored stay that.
pub(super) fn install() -> Result<(), String> {
    for ((signal, name), before) in SIGNALS.into_iter().zip(&PREVIOUS) {
        if before.get().is_some() {
            continue;
        }
        // SAFETY: zero is a value of each of the structure's fields, and an empty set of signals.
        let (mut action, mut previous): (sigaction, sigaction) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        // SAFETY: it asks for the present action alone; the pointer is to a live value of its type.
        ok(
            unsafe { sigaction(signal, ptr::null(), &mut previous) },
            name,
        )?;
        if previous.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        // Before the handler can be called.
        let _ = before.set(previous);
        action.sa_sigaction = own();
        // On the alternate stack, where the thread has one: after a stack overflow there is no other.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the set is a live one. What is left in it would need more room than an alternate stack has.
        unsafe {
            libc::sigfillset(&mut action.sa_mask);
            for (fatal, _) in SIGNALS {
                libc::sigdelset(&mut action.sa_mask, fatal);
            }
        }
        // SAFETY: the action is a live value, and its handler has the signature that SA_SIGINFO asks for.
        ok(unsafe { sigaction(signal, &action, ptr::null_mut()) }, name)?;
    }
    Ok(())
}

/// The name of a signal of crashes.
pub(super) fn name_of(signal: c_int) -> Option<&'static str> {
    let mut all = SIGNALS.into_iter();
    all.find(|(number, _)| *number == signal)
        .map(|(_, name)| name)
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: as below.
    let errno = unsafe { *libc::__errno_location() };
    let thread = sys::thread_id();
    let is_reported = PROCESS.load(Ordering::Acquire) == std::process::id()
        && thread != WRITER.load(Ordering::Acquire);
    if is_reported && !TAKEN.swap(true, Ordering::AcqRel) {
        CRASHED.store(thread, Ordering::Release);
        // SAFETY: with SA_SIGINFO the system passes valid pointers to both.
        unsafe { report(thread, signal, &*info, &*context.cast()) };
        // SAFETY: the C library gives each thread its own, always valid one. The program goes on with it if the handler
        // before mends what is wrong.
        unsafe { *libc::__errno_location() = errno };
        hand_on(signal, info, context);
        // The one before may have mended it.
        TAKEN.store(false, Ordering::Release);
        return;
    }
    if is_reported && thread != CRASHED.load(Ordering::Acquire) {
        // Another thread crashed before, and ends the process soon.
        // Nobody rings this one.
        Bell::new().wait(LONGEST_WAIT);
    }
    hand_on(signal, info, context);
}

/// In a function of its own, so that the stack is free again when the signal is handed on.
#[inline(never)]
fn report(thread: u32, signal: c_int, info: &siginfo_t, context: &ucontext_t) {
    if let Ok(mut crash) = CRASH.try_lock() {
        *crash = Some(Crash {
            signal,
            code: info.si_code,
            // SAFETY: each of these signals has an address, or what can be read as one.
            address: unsafe { info.si_addr() } as u64,
            thread,
            thread_name: sys::thread_name(),
            span: context::active(),
            registers: signal::registers(context),
            all_registers: all_registers(context),
        });
    }
    CRASH_IS_THERE.ring();
    CRASH_IS_WRITTEN.wait(LONGEST_WAIT);
}

/// Does what would have been done without this handler.
#[inline(never)]
fn hand_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let index = SIGNALS.iter().position(|(number, _)| *number == signal);
    let Some(previous) = index.and_then(|index| PREVIOUS[index].get()) else {
        return;
    };
    if previous.sa_sigaction == libc::SIG_DFL {
        // SAFETY: the action is a live value.
        unsafe { sigaction(signal, previous, ptr::null_mut()) };
        // SAFETY: the system passed a valid pointer.
        let code = unsafe { (*info).si_code };
        // What the processor reports happens again when the handler returns. What a program sent does not.
        if code <= 0 {
            let thread = sys::thread_id();
            // SAFETY: it takes numbers.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
        }
        return;
    }
    // The standard library's handler aborts after a stack overflow: without another frame of ours on its small stack.
    let abort = without_ours(libc::SIGABRT);
    if previous.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: with this flag, a handler has this signature.
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
            unsafe { mem::transmute(previous.sa_sigaction) };
        handler(signal, info, context);
    } else {
        // SAFETY: without this flag, a handler has this signature.
        let handler: extern "C" fn(c_int) = unsafe { mem::transmute(previous.sa_sigaction) };
        handler(signal);
    }
    if let Some(ours) = abort {
        // SAFETY: the action is a live value.
        unsafe { sigaction(libc::SIGABRT, &ours, ptr::null_mut()) };
    }
}

/// Puts back the action that was there before ours, if ours is there; returns ours.
fn without_ours(signal: c_int) -> Option<sigaction> {
    let index = SIGNALS.iter().position(|(number, _)| *number == signal)?;
    let previous = PREVIOUS[index].get()?;
    // SAFETY: zero is a value of each of the structure's fields.
    let mut present: sigaction = unsafe { mem::zeroed() };
    // SAFETY: it asks for the present action alone; the pointer is to a live value of its type.
    unsafe { sigaction(signal, ptr::null(), &mut present) };
    if present.sa_sigaction != own() {
        return None;
    }
    // SAFETY: the action is a live value.
    unsafe { sigaction(signal, previous, ptr::null_mut()) };
    Some(present)
}

/// The handler, as actions have it.
fn own() -> libc::sighandler_t {
    handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize
}

#[cfg(target_arch = "x86_64")]
fn all_registers(context: &ucontext_t) -> [u64; NAMES.len()] {
    std::array::from_fn(|index| context.uc_mcontext.gregs[index] as u64)
}

#[cfg(target_arch = "aarch64")]
fn all_registers(context: &ucontext_t) -> [u64; NAMES.len()] {
    let all = &context.uc_mcontext;
    std::array::from_fn(|index| match index {
        31 => all.sp,
        32 => all.pc,
        index => all.regs[index],
    })
}

fn ok(result: c_int, signal: &str) -> Result<(), String> {
    if result == 0 {
        return Ok(());
    }
    Err(format!(
        "sigaction({signal}): {}",
        io::Error::last_os_error()
    ))
}
