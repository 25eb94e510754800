//! The mapping that others find by its name. It says where in the memory of this process the context stands.

#![expect(
    unsafe_code,
    reason = "memory of one's own, outside of the heap, can't be had without it"
)]

use std::ffi::{CStr, c_int, c_uint, c_ulong};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Both the name and how the content begins.
const NAME: &CStr = c"OTEL_CTX";

/// The version of the layout.
const VERSION: u32 = 2;

/// The layout: the name, the version with the payload's length, when it was published, and where the payload is.
type Header = [AtomicU64; 4];

const SIGNATURE: usize = 0;
const VERSION_AND_LENGTH: usize = 1;
const PUBLISHED_AT: usize = 2;
const PAYLOAD: usize = 3;

const BYTES: usize = size_of::<Header>();

/// The time of publication while there is nothing to be read.
const NOTHING: u64 = 0;

/// Is unmapped when it is dropped.
pub(super) struct Mapping {
    header: NonNull<Header>,
}

// SAFETY: the mapping belongs to this value alone, and is no thread's.
unsafe impl Send for Mapping {}

impl Mapping {
    /// A mapping that shows nothing yet: of a file of the name, or else without a file. Forked children will not have
    /// it.
    pub(super) fn new() -> io::Result<Self> {
        let file = file().ok();
        let (flags, descriptor) = match &file {
            Some(file) => (libc::MAP_PRIVATE, file.as_raw_fd()),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
        };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses an address at which nothing is, so no memory of anything else changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), BYTES, access, flags, descriptor, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let header = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Self { header };
        // SAFETY: this is the memory that was just mapped; a child that does not have it forgets it.
        ok(unsafe { libc::madvise(start, BYTES, libc::MADV_DONTFORK) })?;
        let name = u64::from_ne_bytes(NAME.to_bytes().try_into().unwrap_or_default());
        mapping.header()[SIGNATURE].store(name, Ordering::Relaxed);
        Ok(mapping)
    }

    /// Shows a payload, which must stay where it is until another one is shown.
    pub(super) fn show(&self, payload: &[u8]) {
        let header = self.header();
        let before = header[PUBLISHED_AT].swap(NOTHING, Ordering::Relaxed);
        // Who reads what comes now must also see that nothing is to be read.
        fence(Ordering::SeqCst);
        let length = u32::try_from(payload.len()).unwrap_or(0);
        let [a, b, c, d] = VERSION.to_ne_bytes();
        let [e, f, g, h] = length.to_ne_bytes();
        let both = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        header[VERSION_AND_LENGTH].store(both, Ordering::Relaxed);
        let place = payload.as_ptr().expose_provenance();
        header[PAYLOAD].store(place as u64, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let now = since_boot().max(before + 1);
        header[PUBLISHED_AT].store(now, Ordering::Relaxed);
        // Profilers watch for this. The kernel may have no names for memory, and then those of files do.
        // SAFETY: the memory is ours, only its address is looked at, and the name lives for ever.
        unsafe {
            libc::prctl(
                libc::PR_SET_VMA,
                libc::PR_SET_VMA_ANON_NAME as c_ulong,
                self.header.as_ptr().expose_provenance() as c_ulong,
                BYTES as c_ulong,
                NAME.as_ptr(),
            )
        };
    }

    /// Leaves it as it is: it is not mapped in this process.
    pub(super) fn forget(self) {
        mem::forget(self);
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is as large as a header, begins at a page, is there as long as this value, and any bytes
        // are numbers. Nobody writes to it but through these atomics.
        unsafe { self.header.as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.header()[PUBLISHED_AT].store(NOTHING, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // SAFETY: `new` mapped it with this size, and nobody has a reference to it any more.
        unsafe { libc::munmap(self.header.as_ptr().cast(), BYTES) };
    }
}

/// A file in memory whose name is found among the mappings of the process.
fn file() -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Kernels before 6.3 don't know that nobody wants to run it.
    let file = open(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| open(flags))?;
    // SAFETY: the file is open.
    ok(unsafe { libc::ftruncate(file.as_raw_fd(), BYTES as libc::off_t) })?;
    Ok(file)
}

fn open(flags: c_uint) -> io::Result<OwnedFd> {
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
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn ok(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
