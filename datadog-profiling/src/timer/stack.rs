//! Reads a stack: where it is, if it is the one that was made for this thread, else a copy of a part of it.
#![expect(
    unsafe_code,
    reason = "a system call for each sample would take as long as all the rest of it"
)]

use std::ops::Range;
use std::ptr;

use crate::timer::bounds;
use crate::timer::sys::{self, PAGE, TwoPages};

/// A stack that is being read.
pub(super) struct Stack<'a> {
    /// What can be read where it is.
    own: Range<u64>,
    window: &'a mut Window,
}

impl<'a> Stack<'a> {
    /// The stack of this thread, which is interrupted at this stack pointer.
    pub(super) fn of_this_thread(pointer: u64, window: &'a mut Window) -> Self {
        window.length = 0;
        let mut own = bounds::own(window);
        if own.contains(&pointer) {
            // Pages that guard it lie below what is in use.
            own.start = pointer & !(PAGE as u64 - 1);
        } else {
            own = 0..0;
        }
        Self { own, window }
    }

    /// That of any thread.
    pub(super) fn of_another_thread(window: &'a mut Window) -> Self {
        window.length = 0;
        Self { own: 0..0, window }
    }

    #[inline]
    pub(super) fn word(&mut self, address: u64) -> Option<u64> {
        const WORD: u64 = size_of::<u64>() as u64;
        // Of an address before the start, the difference is larger than any stack.
        let offset = address.wrapping_sub(self.own.start);
        if offset.saturating_add(WORD) <= self.own.end - self.own.start
            && address.is_multiple_of(WORD)
        {
            // SAFETY: the word is aligned, and between the page of the stack pointer and the end of the stack that was made
            // for this thread. That can't go away: the thread stands in a handler on top of it.
            return Some(unsafe { ptr::read_volatile(address as *const u64) });
        }
        self.window.word(address)
    }
}

/// A copy of the part of the stack that is being read: one system call for many words, which can't fault.
pub(super) struct Window {
    start: u64,
    length: usize,
    bytes: Box<TwoPages>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            start: 0,
            length: 0,
            bytes: Box::new([0; size_of::<TwoPages>()]),
        }
    }

    pub(super) fn word(&mut self, address: u64) -> Option<u64> {
        self.cached(address).or_else(|| {
            self.copy(address);
            self.cached(address)
        })
    }

    fn copy(&mut self, address: u64) {
        (self.start, self.length) = sys::read_memory(address, &mut self.bytes);
    }

    fn cached(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let word = self.bytes[..self.length].get(offset..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;
    use std::hint::black_box;
    use std::{mem, thread};

    use super::*;

    /// Above it, at least, the stack is in use.
    fn pointer(here: &u64) -> u64 {
        ptr::from_ref(here) as u64
    }

    /// What is read of this thread's stack, and whether where it is.
    fn read(here: &u64) -> (Option<u64>, bool) {
        bounds::learn();
        let mut window = Window::new();
        let mut stack = Stack::of_this_thread(pointer(here), &mut window);
        let word = stack.word(pointer(here));
        (word, !stack.own.is_empty())
    }

    #[test]
    fn copies_words_here_and_there_and_none_where_nothing_is() {
        let words: Vec<u64> = (0..4096).collect();
        let mut window = Window::new();
        let mut stack = Stack::of_another_thread(&mut window);
        for index in [0, 4095, 1, 2000, 4094] {
            let at = &raw const words[index] as u64;
            assert_eq!(stack.word(at), Some(index as u64));
            let within = stack.word(at + 1).map(u64::to_ne_bytes);
            assert_eq!(
                within.map(|bytes| bytes[..7].to_vec()),
                Some((index as u64).to_ne_bytes()[1..].to_vec())
            );
        }
        assert_eq!(stack.word(16), None);
        assert_eq!(stack.word(u64::MAX), None);
        assert_eq!(stack.word(u64::MAX - 7), None);
    }

    #[test]
    fn the_stack_of_a_thread_is_read_where_it_is() {
        let here = black_box(7);
        assert_eq!(read(&here), (Some(7), true));
        // What is beyond it is copied, if it is there.
        let heap = Box::new(9);
        let mut window = Window::new();
        let mut stack = Stack::of_this_thread(pointer(&here), &mut window);
        assert_eq!(stack.word(pointer(&heap)), Some(9));
        assert_eq!(stack.word(16), None);
        for end in [stack.own.start - 8, stack.own.end] {
            let same = sys::read_memory(end, &mut Window::new().bytes).1 > 0;
            assert_eq!(stack.word(end).is_some(), same);
        }
    }

    #[test]
    fn another_stack_is_copied() {
        let elsewhere = vec![7; 10_000];
        assert_eq!(read(&elsewhere[9000]), (Some(7), false));
        let here = black_box(8);
        let of_another = thread::scope(|scope| scope.spawn(|| read(&here)).join().unwrap());
        assert_eq!(of_another, (Some(8), false));
    }

    #[test]
    fn a_large_stack_is_read_where_it_is() {
        let large = thread::Builder::new().stack_size(16 << 20).spawn(|| {
            let room = black_box([3_u64; 300_000]);
            read(&room[0])
        });
        assert_eq!(large.unwrap().join().unwrap(), (Some(3), true));
    }

    /// Of the stack and of what lies right below it.
    const HALF: usize = 1 << 18;

    /// A coroutine of a thread whose stack is the upper half of a mapping runs in the lower half.
    extern "C" fn run_in_the_upper_half(middle: *mut c_void) -> *mut c_void {
        let here = black_box(7);
        assert_eq!(read(&here), (Some(7), true));
        // SAFETY: these pages belong to the mapping, and nobody uses them.
        let (coroutine, between) = unsafe {
            let coroutine = middle.byte_sub(HALF / 2).cast::<u64>();
            coroutine.write(9);
            (&*coroutine, middle.byte_sub(PAGE))
        };
        assert_eq!(read(coroutine), (Some(9), false));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::munmap(between, PAGE) }, 0);
        let mut window = Window::new();
        let mut stack = Stack::of_this_thread(pointer(coroutine), &mut window);
        assert_eq!(stack.word(pointer(coroutine)), Some(9));
        assert_eq!(stack.word(between as u64), None);
        middle
    }

    #[test]
    fn what_lies_right_below_a_stack_without_a_guard_is_no_part_of_it() {
        // SAFETY: the thread ends before its stack goes, and all pointers are to live values.
        unsafe {
            let mapping = libc::mmap(
                ptr::null_mut(),
                2 * HALF,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(mapping, libc::MAP_FAILED);
            let middle = mapping.byte_add(HALF);
            let (mut attributes, mut thread, mut returned) =
                (mem::zeroed(), mem::zeroed(), ptr::null_mut());
            assert_eq!(libc::pthread_attr_init(&mut attributes), 0);
            let set = libc::pthread_attr_setstack(&mut attributes, middle, HALF);
            assert_eq!(set, 0);
            let run = run_in_the_upper_half;
            let made = libc::pthread_create(&mut thread, &attributes, run, middle);
            assert_eq!(made, 0);
            assert_eq!(libc::pthread_join(thread, &mut returned), 0);
            assert_eq!(returned, middle);
            libc::pthread_attr_destroy(&mut attributes);
            libc::munmap(mapping, 2 * HALF);
        }
    }
}
