//! The mapping that others find by its name. It says where in the memory of this process the context stands.

#![expect(
    unsafe_code,
    reason = "memory of one's own, outside of the heap, can't be had without it"
)]

use std::ffi::CStr;
use std::mem;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use rustix::process::set_virtual_memory_region_name;
use rustix::time::{ClockId, clock_gettime};

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

/// The time of publication while there is nothing to be read.
const NOTHING: u64 = 0;

/// Is unmapped when it is dropped.
pub(super) struct Mapping {
    header: NonNull<Header>,
}

// SAFETY: the mapping belongs to this value alone, and is no thread's.
unsafe impl Send for Mapping {}

impl Mapping {
    /// A mapping that shows nothing yet. Forked children will not have it.
    pub(super) fn new() -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let (any, size) = (ptr::null_mut(), size_of::<Header>());
        let of_file = || {
            let file = file()?;
            // SAFETY: the kernel chooses an address at which nothing is, so no memory of anything else changes.
            unsafe { mmap(any, size, protection, MapFlags::PRIVATE, file, 0) }
        };
        let start = of_file().or_else(|_| {
            // SAFETY: as above.
            unsafe { mmap_anonymous(any, size, protection, MapFlags::PRIVATE) }
        })?;
        let header = NonNull::new(start.cast()).ok_or(io::Errno::NOMEM)?;
        let mapping = Self { header };
        // SAFETY: the mapping is there until this value is dropped; a child that does not have it forgets it.
        unsafe { madvise(start, size, Advice::LinuxDontFork) }?;
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
        let now = boot_nanos().max(before + 1);
        header[PUBLISHED_AT].store(now, Ordering::Relaxed);
        // Profilers watch for this. The kernel may have no names for memory, and then those of files do.
        let bytes = self.header.cast::<u8>().as_ptr();
        // SAFETY: the mapping has these bytes, all of them written or zero. Only their address is looked at.
        let bytes = unsafe { slice::from_raw_parts(bytes, size_of::<Header>()) };
        let _ = set_virtual_memory_region_name(bytes, Some(NAME));
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
        let _ = unsafe { munmap(self.header.as_ptr().cast(), size_of::<Header>()) };
    }
}

/// A file in memory whose name is found among the mappings of the process.
fn file() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 don't know that nobody wants to run it.
    let file = memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| memfd_create(NAME, flags))?;
    ftruncate(&file, size_of::<Header>() as u64)?;
    Ok(file)
}

/// Nanoseconds since the system started.
fn boot_nanos() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
