//! Reads a stack: where it is, if it is this thread's own and whole, else a copy of a part of it.
#![expect(
    unsafe_code,
    reason = "a system call for each sample would take as long as all the rest of it"
)]

use std::cell::Cell;
use std::ops::Range;
use std::ptr;

use crate::timer::sys::{self, PAGE, TwoPages};

/// Larger ones are copied: to look at all their pages would take too long.
const MOST_BYTES: u64 = 1 << 20;

thread_local! {
    /// The part of this thread's stack that was found to be there, as start and end. It has no destructor, so that a
    /// signal handler may use it at any time of the thread's life.
    static CHECKED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// A stack that is being read.
pub(super) struct Stack<'a> {
    /// What can be read where it is.
    own: Range<u64>,
    window: &'a mut Window,
}

impl<'a> Stack<'a> {
    /// The stack of this thread, which is interrupted at this stack pointer. `end` is that of the stack that was made for
    /// the thread: [`sys::stack_end`].
    pub(super) fn of_this_thread(pointer: u64, end: u64, window: &'a mut Window) -> Self {
        window.length = 0;
        let own = checked(pointer, end & !7, window).unwrap_or(0..0);
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
            // SAFETY: the word is aligned and in a part of this thread's own stack that `checked` found to be there. It
            // can't go away: the thread stands in a handler on top of it.
            return Some(unsafe { ptr::read_volatile(address as *const u64) });
        }
        self.window.word(address)
    }
}

/// From the page of the stack pointer to the end of this thread's stack. `None` where the thread is on another one.
///
/// The thread's control block, or for the main thread what the kernel left for it, lies at the end of its stack, and a page
/// that can't be read at the other one. So where everything can be read between the stack pointer and the block, this is
/// that stack, and it stays for as long as the thread lives. Stacks of coroutines lie elsewhere, and may go.
fn checked(pointer: u64, end: u64, window: &mut Window) -> Option<Range<u64>> {
    let start = pointer & !(PAGE as u64 - 1);
    if end <= pointer || end - start > MOST_BYTES || !sys::reads_as_the_program() {
        return None;
    }
    let mut limit = end;
    let (from, to) = CHECKED.get();
    if to == end {
        if from <= start {
            return Some(start..end);
        }
        limit = from;
    }
    let mut at = start;
    while at < limit {
        window.copy(at);
        at += window.length as u64;
        if at < limit && window.length < size_of::<TwoPages>() {
            return None;
        }
    }
    CHECKED.set((start, end));
    Some(start..end)
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

    fn word(&mut self, address: u64) -> Option<u64> {
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
    use std::hint::black_box;
    use std::thread;

    use super::*;

    /// Above it, at least, the stack is in use.
    fn pointer(here: &u64) -> u64 {
        ptr::from_ref(here) as u64
    }

    /// What is read of this thread's stack, and whether where it is.
    fn read(here: &u64) -> (Option<u64>, bool) {
        let mut window = Window::new();
        // Tests have threads of their own.
        let end = sys::stack_end(false);
        let mut stack = Stack::of_this_thread(pointer(here), end, &mut window);
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
        // What was checked grows.
        fn deeper(calls: u64) {
            let here = black_box([calls; 600]);
            if calls == 0 {
                assert_eq!(read(&here[3]), (Some(0), true));
            } else {
                deeper(calls - 1);
            }
        }
        deeper(5);
        let before = CHECKED.get();
        assert_eq!(read(&here), (Some(7), true));
        assert_eq!(CHECKED.get(), before);
        // What is beyond it is copied, if it is there.
        let heap = Box::new(9);
        let mut window = Window::new();
        let mut stack = Stack::of_this_thread(pointer(&here), sys::stack_end(false), &mut window);
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
    fn a_large_stack_is_copied() {
        let large = thread::Builder::new().stack_size(16 << 20).spawn(|| {
            let room = black_box([3_u64; 300_000]);
            read(&room[0])
        });
        assert_eq!(large.unwrap().join().unwrap(), (Some(3), false));
    }
}
