//! The signal of the timers: who sends it, and its handler.
#![expect(
    unsafe_code,
    reason = "signal handlers have no safe interface, and get what the kernel put together"
)]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{sigaction, siginfo_t, ucontext_t};

use crate::timer::sys::ok;

/// The signal of profilers. Another profiler of the process is told from ours by the handler.
pub(super) const SIGNAL: c_int = libc::SIGPROF;

/// What a signal brings along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    pub(super) tag: u64,
    /// The periods that went by since the last signal; 0 for one that [`send`] sent.
    pub(super) periods: u64,
    /// Whether it came together with one of a timer, which is handled after it.
    pub(super) comes_with_timer: bool,
}

/// The registers of the interrupted code from which its callers can be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) instruction: u64,
    pub(crate) stack: u64,
    pub(crate) frame: u64,
    /// The link register, which x86 doesn't have.
    #[cfg(target_arch = "aarch64")]
    pub(crate) link: u64,
}

/// Who is called for each signal of a timer and of [`send`], in the interrupted thread. It must neither allocate, nor wait, nor panic. Another
/// signal may interrupt it.
pub(super) type OnTick = fn(Tick, &Registers);

static ON_TICK: OnceLock<OnTick> = OnceLock::new();

/// The address of the handler that is installed: a function may have several.
static HANDLER: AtomicU64 = AtomicU64::new(0);

/// Makes the first `on_tick` the one that is called. It stays that after the timers are gone: a late signal must not find the
/// default action, which ends the process.
///
/// # Errors
///
/// Where the program has a handler of its own.
pub(super) fn install(on_tick: OnTick) -> Result<(), String> {
    let handler = handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
    ON_TICK.get_or_init(|| on_tick);
    // SAFETY: zero is a value of each of the structure's fields, and an empty set of signals.
    let (mut action, mut before): (sigaction, sigaction) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    // SAFETY: it asks for the present action alone; the pointer is to a live value of its type.
    let asked = unsafe { sigaction(SIGNAL, ptr::null(), &mut before) };
    ok(asked).map_err(|error| format!("sigaction: {error}"))?;
    let installed = HANDLER.load(Ordering::Relaxed);
    if before.sa_sigaction as u64 == installed && installed != 0 {
        return Ok(());
    }
    if ![libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction) {
        return Err("another profiler of this process uses SIGPROF".to_owned());
    }
    action.sa_sigaction = handler as usize;
    HANDLER.store(action.sa_sigaction as u64, Ordering::Relaxed);
    // Without SA_ONSTACK: the alternate stacks that the standard library makes are too small for an unwinder.
    // With SA_NODEFER: a thread that blocks the signal while it handles that of its own timer would hand that of the process'
    // timer, which often comes at the same tick, to a thread that waits (torvalds/linux: `retarget_shared_pending`).
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_NODEFER;
    // SAFETY: the action is a live value, and its handler has the signature that SA_SIGINFO asks for.
    let set = unsafe { sigaction(SIGNAL, &action, ptr::null_mut()) };
    ok(set).map_err(|error| format!("sigaction: {error}"))
}

extern "C" fn handle(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the C library gives each thread its own, always valid one.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel passes a valid structure, as SA_SIGINFO asks for it.
    let code = unsafe { (*info).si_code };
    if code == libc::SI_TIMER || code == libc::SI_QUEUE {
        // SAFETY: signals with these codes have these fields, and `SignalInfo` lays them out as the kernel does.
        let signal = unsafe { &*info.cast::<SignalInfo>() };
        // SAFETY: with SA_SIGINFO, the third argument is the interrupted context.
        let (registers, comes_with_timer) = interrupted(unsafe { &*context.cast::<ucontext_t>() });
        let tick = Tick {
            tag: signal.tag,
            periods: match code {
                libc::SI_TIMER => 1 + u64::try_from(signal.overrun).unwrap_or(0),
                _ => 0,
            },
            comes_with_timer,
        };
        if let Some(on_tick) = ON_TICK.get() {
            on_tick(tick, &registers);
        }
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// The registers of what was interrupted, and whether another signal of a timer waits to be handled. Of signals that come together,
/// each interrupts the handler of the one before, at its first instruction.
fn interrupted(mut context: &ucontext_t) -> (Registers, bool) {
    let mut with_timer = false;
    loop {
        let registers = registers(context);
        if registers.instruction != HANDLER.load(Ordering::Relaxed) {
            return (registers, with_timer);
        }
        let (info, before) = arguments(context);
        // SAFETY: the kernel just set up the call of this very handler, whose arguments are valid, as SA_SIGINFO asks for them.
        unsafe {
            with_timer |= (*info).si_code == libc::SI_TIMER;
            context = &*before;
        }
    }
}

/// The second and third argument of a function, at its first instruction.
#[cfg(target_arch = "x86_64")]
fn arguments(context: &ucontext_t) -> (*const siginfo_t, *const ucontext_t) {
    let all = &context.uc_mcontext.gregs;
    let [second, third] = [libc::REG_RSI, libc::REG_RDX].map(|name| all[name as usize]);
    (second as *const siginfo_t, third as *const ucontext_t)
}

/// The second and third argument of a function, at its first instruction.
#[cfg(target_arch = "aarch64")]
fn arguments(context: &ucontext_t) -> (*const siginfo_t, *const ucontext_t) {
    let all = &context.uc_mcontext.regs;
    (all[1] as *const siginfo_t, all[2] as *const ucontext_t)
}

/// `siginfo_t` of a timer, on 64-bit Linux (torvalds/linux: `include/uapi/asm-generic/siginfo.h`).
#[repr(C)]
struct SignalInfo {
    signal: c_int,
    errno: c_int,
    code: c_int,
    pad: c_int,
    /// Of a signal that a process sent, its id and then that of its user.
    timer: c_int,
    overrun: c_int,
    tag: u64,
}

const _: () = assert!(size_of::<SignalInfo>() <= size_of::<siginfo_t>());

/// Sends a thread of this process the signal of the timers.
pub(super) fn send(thread: u32, tag: u64) -> io::Result<()> {
    send_as(libc::SI_QUEUE, thread, tag)
}

fn send_as(code: c_int, thread: u32, tag: u64) -> io::Result<()> {
    // SAFETY: zero is a value of each of the structure's fields.
    let mut info: siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: it takes nothing, and can't fail.
    let process = unsafe { libc::getpid() };
    // SAFETY: `SignalInfo` has the layout of what the kernel reads there, and is not larger.
    let signal = unsafe { &mut *(&raw mut info).cast::<SignalInfo>() };
    signal.signal = SIGNAL;
    signal.code = code;
    signal.tag = tag;
    // SAFETY: the structure is a live one; the rest is numbers. A thread of another process can't be meant.
    let sent = unsafe {
        let info = &raw const info;
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, SIGNAL, info)
    };
    ok(sent as c_int)
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn registers(context: &ucontext_t) -> Registers {
    let all = &context.uc_mcontext.gregs;
    Registers {
        instruction: all[libc::REG_RIP as usize] as u64,
        stack: all[libc::REG_RSP as usize] as u64,
        frame: all[libc::REG_RBP as usize] as u64,
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) fn registers(context: &ucontext_t) -> Registers {
    let all = &context.uc_mcontext;
    Registers {
        instruction: all.pc,
        stack: all.sp,
        frame: all.regs[29],
        link: all.regs[30],
    }
}

/// No other handler than ours runs on this thread from now on. Ours has to: while only this thread runs, the
/// system would give the signal of the process' timer to one that sleeps.
pub(crate) fn block_other_signals() {
    // SAFETY: zero is a value of the structure's fields; both pointers are to a live one.
    unsafe {
        let mut others: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut others);
        libc::sigdelset(&mut others, SIGNAL);
        libc::pthread_sigmask(libc::SIG_BLOCK, &others, ptr::null_mut());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::timer::sys;

    /// Sends the signal of a timer. It is handled before this returns.
    pub(crate) fn signal_this_thread(tag: u64) {
        send_as(libc::SI_TIMER, sys::thread_id(), tag).unwrap();
    }

    /// Whether the signals of this thread wait.
    pub(crate) fn block_signal(blocked: bool) {
        let how = if blocked {
            libc::SIG_BLOCK
        } else {
            libc::SIG_UNBLOCK
        };
        // SAFETY: zero is a value of the structure's fields; the pointers are to a live one.
        unsafe {
            let mut signals: libc::sigset_t = mem::zeroed();
            libc::sigaddset(&mut signals, SIGNAL);
            libc::pthread_sigmask(how, &signals, ptr::null_mut());
        }
    }
}
