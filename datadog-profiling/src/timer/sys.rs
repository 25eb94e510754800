//! The system calls of the sampler, each behind a safe function. A signal handler may call all but [`Timer`],
//! [`allow_reads`] and [`kernel_is_at_least`].
#![expect(
    unsafe_code,
    reason = "timers of threads and reads of another stack have no safe interface"
)]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use libc::{clockid_t, pid_t, timer_t};

use crate::timer::signal::SIGNAL;

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

pub(super) fn ok(result: c_int) -> io::Result<()> {
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One that the program doesn't use otherwise.
    pub(crate) fn load_and_unload_a_library() {
        // SAFETY: the C library's own, without effects of its own.
        unsafe {
            let library = libc::dlopen(c"libresolv.so.2".as_ptr(), libc::RTLD_NOW);
            // musl comes in one piece, and a static program has no loader.
            assert!(!library.is_null() || cfg!(target_env = "musl"));
            if !library.is_null() {
                libc::dlclose(library);
            }
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
