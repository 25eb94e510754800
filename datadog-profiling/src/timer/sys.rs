//! The system calls of the sampler, each behind a safe function. All but [`Timer`] and [`install`] may be called in
//! a signal handler.
#![expect(
    unsafe_code,
    reason = "timers of threads, signal handlers and reads of another stack have no safe interface"
)]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use libc::{clockid_t, pid_t, sigaction, siginfo_t, timer_t, ucontext_t};

/// The signal of profilers. Another profiler of the process is told from ours by the handler.
const SIGNAL: c_int = libc::SIGPROF;

/// A timer that signals once in each period of CPU time, of one thread or of the process.
pub(super) struct Timer(timer_t);

// SAFETY: a timer's id is a number of the process, which any of its threads may use.
unsafe impl Send for Timer {}

/// What a timer measures and whom it interrupts.
#[derive(Clone, Copy)]
pub(super) enum Clock {
    /// The thread of this id.
    Thread(pid_t),
    /// All threads together; interrupted is the one that runs when the period is over.
    Process,
}

impl Timer {
    /// Starts a timer, whose signals carry the `tag`.
    pub(super) fn start(clock: Clock, period: Duration, tag: u64) -> io::Result<Self> {
        // SAFETY: zero is a value of each of the structure's fields.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_signo = SIGNAL;
        event.sigev_value.sival_ptr = tag as *mut c_void;
        event.sigev_notify = libc::SIGEV_SIGNAL;
        if let Clock::Thread(id) = clock {
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_notify_thread_id = id;
        }
        let mut timer: timer_t = ptr::null_mut();
        // SAFETY: both pointers are to live values of the types that the call wants.
        ok(unsafe { libc::timer_create(clock.id(), &mut event, &mut timer) })?;
        // From here on it is deleted again if the rest fails.
        let timer = Self(timer);
        let period = libc::timespec {
            tv_sec: period.as_secs() as _,
            tv_nsec: period.subsec_nanos().into(),
        };
        let times = libc::itimerspec {
            it_interval: period,
            it_value: period,
        };
        // SAFETY: the timer is a live one; the old times are not asked for.
        ok(unsafe { libc::timer_settime(timer.0, 0, &times, ptr::null_mut()) })?;
        Ok(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: it was created by `start`, and is deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

impl Clock {
    /// Threads' clocks are numbered as the kernel does it: the thread's id inverted, with the bits for "a thread's"
    /// (4) and "as the scheduler counts" (2) (torvalds/linux: `include/linux/posix-timers.h`).
    fn id(self) -> clockid_t {
        match self {
            Self::Thread(id) => (!id << 3) | 4 | 2,
            Self::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
        }
    }
}

/// What a signal brings along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    pub(super) tag: u64,
    /// The periods that went by since the last signal; 0 for one that [`signal`] sent.
    pub(super) periods: u64,
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

impl Registers {
    /// Whether what was interrupted is the handler itself, before its first instruction: two signals came together.
    pub(super) fn are_of_handler(&self) -> bool {
        self.instruction == HANDLER.load(Ordering::Relaxed)
    }
}

/// Who is called for each signal of a timer and of [`signal`], in the interrupted thread. It must neither allocate, nor wait, nor panic. Another
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
        let registers = registers(unsafe { &*context.cast::<ucontext_t>() });
        let tick = Tick {
            tag: signal.tag,
            periods: match code {
                libc::SI_TIMER => 1 + u64::try_from(signal.overrun).unwrap_or(0),
                _ => 0,
            },
        };
        if let Some(on_tick) = ON_TICK.get() {
            on_tick(tick, &registers);
        }
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
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
pub(super) fn signal(thread: u32, tag: u64) -> io::Result<()> {
    send(thread, libc::SI_QUEUE, tag)
}

fn send(thread: u32, code: c_int, tag: u64) -> io::Result<()> {
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

/// The id of this thread.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: it takes nothing, and can't fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// The time, in nanoseconds since the Unix epoch; 0 if there is no clock.
pub(super) fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value of its type.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    (time.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec as u64)
}

/// Waits while the word has this value, until someone [wakes](wake) it, at most `limit`. May return earlier.
pub(super) fn wait_while(word: &AtomicU32, value: u32, limit: Duration) {
    let limit = libc::timespec {
        tv_sec: limit.as_secs() as _,
        tv_nsec: limit.subsec_nanos().into(),
    };
    // SAFETY: both pointers are to live values of the types that the call wants.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            &raw const limit,
        );
    }
}

/// Wakes the thread that waits at the word, if one does.
pub(super) fn wake(word: &AtomicU32) {
    // SAFETY: the pointer is to a live word, which the call doesn't even read.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
    }
}

/// The name of this thread, as bytes up to the first 0. At most 15, as the kernel keeps them.
pub(crate) fn thread_name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: the kernel writes 16 bytes at most (torvalds/linux: `TASK_COMM_LEN`).
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
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

/// A page of memory on the machines that have the smallest ones. What can be read can be read in whole pages.
pub(super) const PAGE: usize = 4096;

/// Room for what [`read_memory`] finds.
pub(super) type TwoPages = [u8; 2 * PAGE];

/// `/proc/self/mem`, where the faster call is forbidden.
static MEMORY: OnceLock<File> = OnceLock::new();

/// Finds a way for [`read_memory`].
///
/// # Errors
///
/// Where the system forbids both.
pub(crate) fn allow_reads() -> Result<(), String> {
    let mut memory = [0; 2 * PAGE];
    let here = &raw const memory as u64;
    if read_memory(here, &mut memory).1 > 0 {
        return Ok(());
    }
    let why = io::Error::last_os_error();
    let explain = |error| format!("process_vm_readv: {why}, /proc/self/mem: {error}");
    let file = File::open("/proc/self/mem").map_err(explain)?;
    file.read_at(&mut [0], here).map_err(explain)?;
    let _ = MEMORY.set(file);
    Ok(())
}

/// Copies the page of `address` and the next one, as far as they are mapped. Returns the address of the first
/// byte and the count of bytes.
pub(super) fn read_memory(address: u64, memory: &mut TwoPages) -> (u64, usize) {
    let start = address & !(PAGE as u64 - 1);
    if let Some(file) = MEMORY.get() {
        return (start, file.read_at(memory, start).unwrap_or(0));
    }
    let local = libc::iovec {
        iov_base: memory.as_mut_ptr().cast(),
        iov_len: memory.len(),
    };
    let remote = [0, PAGE as u64].map(|offset| libc::iovec {
        iov_base: start.wrapping_add(offset) as *mut c_void,
        iov_len: PAGE,
    });
    // SAFETY: the kernel writes into the local memory alone, which is exclusively borrowed and as long as said. It
    // checks the remote addresses itself, and fails where they are not mapped.
    let count = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, remote.as_ptr(), 2, 0) };
    (start, usize::try_from(count).unwrap_or(0))
}

/// Whether the kernel has this version or a newer one.
pub(super) fn kernel_is_at_least(version: (u32, u32)) -> bool {
    // SAFETY: zero is a value of each of the structure's fields.
    let mut names: libc::utsname = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a live value of the type that the call wants.
    if unsafe { libc::uname(&mut names) } != 0 {
        return false;
    }
    let release: String = names
        .release
        .iter()
        .map(|byte| char::from(*byte as u8))
        .collect();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    Option::zip(next(), next()).is_some_and(|found: (u32, u32)| found >= version)
}

fn ok(result: c_int) -> io::Result<()> {
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Sends the signal of a timer. It is handled before this returns.
    pub(crate) fn signal_this_thread(tag: u64) {
        send(thread_id(), libc::SI_TIMER, tag).unwrap();
    }

    /// One that the program doesn't use otherwise.
    pub(crate) fn load_and_unload_a_library() {
        // SAFETY: the C library's own, without effects of its own.
        unsafe {
            let library = libc::dlopen(c"libresolv.so.2".as_ptr(), libc::RTLD_NOW);
            assert!(!library.is_null());
            libc::dlclose(library);
        }
    }

    /// The child works, and is not sampled.
    pub(crate) fn fork_and_work() {
        // SAFETY: the child only counts and leaves.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                for number in 0..1_000_000_u64 {
                    std::hint::black_box(number);
                }
                libc::_exit(7);
            }
            let mut status = 0;
            while libc::waitpid(child, &mut status, 0) < 0 {}
            assert!(libc::WIFEXITED(status), "{status:x}");
            assert_eq!(libc::WEXITSTATUS(status), 7);
        }
    }

    #[test]
    fn knows_old_kernels_from_new_ones() {
        assert!(kernel_is_at_least((2, 6)));
        assert!(!kernel_is_at_least((1000, 0)));
    }

    #[test]
    fn a_refused_timer_says_why() {
        let refused = Timer::start(Clock::Thread(1), Duration::from_millis(1), 0);
        let error = refused.err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
