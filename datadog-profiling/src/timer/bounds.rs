//! Where the stack of a thread is.
#![expect(
    unsafe_code,
    reason = "only the C library knows where the stacks are that it made, and the registers where its notes of a thread are"
)]

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::mem;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::timer::stack::Window;

/// Where the C library notes the stack of a thread, in bytes from the thread pointer; 0 where that is not known.
static NOTE: AtomicI64 = AtomicI64::new(0);

/// Whether the end of a stack is noted and not its start. What belongs to the thread lies beyond that end then.
const NOTES_END: bool = cfg!(target_env = "musl");

/// How far from the thread pointer the note is looked for. The structure has some 2 KB.
const NOTE_WITHIN: i64 = 4096;

/// How far the pages that guard a stack may reach below it, beyond what was asked for: a page, of the largest there are.
const PAGE_OF_ANY_SIZE: u64 = 1 << 16;

/// The part of the main thread's stack that was in use when the sampler began. It grows, but never shrinks.
static MAIN: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

thread_local! {
    /// Start and end of the stack that was made for this thread, once that was looked up. It has no destructor, so that a signal
    /// handler may use it at any time of the thread's life.
    static OWN: Cell<(u64, u64)> = const { Cell::new(UNKNOWN) };
}

const UNKNOWN: (u64, u64) = (0, 0);

/// The stack that was made for this thread, for as long as it lives; empty where that is not known. Stacks of coroutines, and such
/// as signal handlers may have, lie elsewhere, and may go. For the signal handler.
pub(super) fn own(window: &mut Window) -> Range<u64> {
    let (mut start, mut end) = OWN.get();
    if end == 0 {
        (start, end) = look_up(window).unwrap_or(UNKNOWN);
        OWN.set((start, end));
    }
    start..end
}

fn look_up(window: &mut Window) -> Option<(u64, u64)> {
    let note = NOTE.load(Ordering::Acquire);
    if note == 0 {
        return None;
    }
    // Copied, because threads that the C library did not make may have less there.
    let (start, end) = noted(thread_pointer().wrapping_add_signed(note), window)?;
    if start != 0 {
        return Some((start, end));
    }
    // The stack of the main thread is the kernel's.
    let [start, end] = MAIN.each_ref().map(|bound| bound.load(Ordering::Relaxed));
    Some((start, end))
}

/// Learns where the C library notes the stacks of threads (glibc: `nptl/descr.h`, the fields `stackblock` and
/// `stackblock_size`; musl: `src/internal/pthread_impl.h`, the fields `stack` and `stack_size`), by this thread, whose stack it
/// tells. To be called on one that it made, outside of signal handlers.
///
/// To ask it within a handler, or for another thread, would be wrong: it allocates, and the thread may end meanwhile.
pub(super) fn learn() {
    if let Some([start, end]) = main_stack() {
        MAIN[0].store(start, Ordering::Relaxed);
        MAIN[1].store(end, Ordering::Relaxed);
    }
    let Some((stack, guard)) = told() else { return };
    let from = stack.start.saturating_sub(guard + PAGE_OF_ANY_SIZE);
    let pointer = thread_pointer();
    let mut window = Window::new();
    let mut notes = (-NOTE_WITHIN..NOTE_WITHIN).step_by(size_of::<u64>());
    let mut is_note = |note: &i64| {
        let place = pointer.wrapping_add_signed(*note);
        // What lies on the stack is no note, but may look like one. That of glibc is at its end, as is the thread's storage.
        let may_be = !NOTES_END || place >= stack.end;
        let noted = noted(place, &mut window).filter(|_| may_be);
        noted.is_some_and(|(start, end)| (from..=stack.start).contains(&start) && end == stack.end)
    };
    let found = notes.find(&mut is_note);
    // Where two places look like it, neither is taken.
    if let (Some(note), None) = (found, notes.find(is_note)) {
        NOTE.store(note, Ordering::Release);
    }
}

/// What is noted there: a stack's start, or end, and its length in memory. As start and end.
fn noted(address: u64, window: &mut Window) -> Option<(u64, u64)> {
    let bound = window.word(address)?;
    let length = window.word(address.wrapping_add(8))?;
    Some(match NOTES_END {
        true => (bound.checked_sub(length)?, bound),
        false => (bound, bound.checked_add(length)?),
    })
}

/// What the C library tells of this thread: its stack, and how much guards it.
fn told() -> Option<(Range<u64>, u64)> {
    let (mut start, mut length, mut guard) = (ptr::null_mut(), 0, 0);
    // SAFETY: zero is a value of each of the structure's fields.
    let mut attributes = unsafe { mem::zeroed() };
    // SAFETY: this thread lives, and all pointers are to live values of the types that the calls want. The attributes are read
    // when they are there, and released once.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        libc::pthread_attr_getstack(&attributes, &mut start, &mut length);
        libc::pthread_attr_getguardsize(&attributes, &mut guard);
        libc::pthread_attr_destroy(&mut attributes);
    }
    let start = start as u64;
    Some((start..start.checked_add(length as u64)?, guard as u64))
}

/// Start and end of what the main thread's stack has now (man7.org: proc_pid_maps(5)).
fn main_stack() -> Option<[u64; 2]> {
    let maps = BufReader::new(File::open("/proc/self/maps").ok()?);
    let mut lines = maps.lines().map_while(Result::ok);
    let line = lines.find(|line| line.ends_with("[stack]"))?;
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    Some([number(start)?, number(end)?])
}

/// Beside it is what the C library notes of this thread.
#[cfg(target_arch = "x86_64")]
#[inline]
fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: what it points to begins with its own address (System V ABI: ELF Handling for Thread-Local Storage, variant II).
    unsafe {
        std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags));
    }
    pointer
}

/// Beside it is what the C library notes of this thread.
#[cfg(target_arch = "aarch64")]
#[inline]
fn thread_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: it reads a register that every program may read.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    #[cfg_attr(
        not(any(target_env = "gnu", target_env = "musl")),
        ignore = "others note it otherwise"
    )]
    fn finds_the_stacks_of_all_sizes() {
        learn();
        for size in [1 << 16, 1 << 20, 1 << 26] {
            let thread = thread::Builder::new().stack_size(size).spawn(move || {
                let here = 7;
                let own = own(&mut Window::new());
                assert!(own.contains(&(&raw const here as u64)));
                let (told, guard) = told().unwrap();
                assert_eq!(own.end, told.end);
                assert!((told.start - guard - PAGE_OF_ANY_SIZE..=told.start).contains(&own.start));
            });
            thread.unwrap().join().unwrap();
        }
    }

    #[test]
    fn finds_the_stack_of_the_main_thread() {
        // The kernel put these random bytes there.
        // SAFETY: takes a number.
        let within = unsafe { libc::getauxval(libc::AT_RANDOM) };
        let [start, end] = main_stack().unwrap();
        assert!((start..end).contains(&within));
    }
}
