//! Code without unwind tables: which it is, and who called it.
//!
//! musl has none (musl: `configure`, `-fno-unwind-tables`), and a program of it spends much of its time there: in system calls,
//! in `memcpy` and in the allocator. So its caller is looked for on the stack: the first address there that follows a call
//! within code that has tables. From there on these lead. The frames of musl between are left out.

use std::ops::Range;

use crate::timer::signal::Registers;
use crate::timer::stack::Stack;

/// Whether the C library's code may be without tables. On other processors the return address is not the last thing in a frame,
/// and frame pointers are followed.
pub(super) const EXPECTED: bool = cfg!(all(target_env = "musl", target_arch = "x86_64"));

/// How much of the stack is looked through. Most frames of musl have some ten words; those of `printf` and of path names fill pages.
const MOST_WORDS: u64 = 1024;

/// More than the largest frame that is expected.
const FAR: u64 = 1 << 16;

const WORD: u64 = size_of::<u64>() as u64;

/// Functions start at multiples of this: what is between them is no code.
const ALIGNED: u64 = 16;

/// The code that has unwind tables.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By address, and apart from each other.
    ranges: Vec<Range<u64>>,
}

impl Told {
    /// The functions of a table that starts at this address. `None` where it is written otherwise than linkers do it:
    /// with addresses relative to their place, in four bytes (refspecs.linuxfoundation.org: LSB, "Exception Frames").
    pub(super) fn add(&mut self, table: &[u8], start: u64, module: &Range<u64>) -> Option<()> {
        let number = |at: usize| {
            table
                .get(at..)?
                .first_chunk()
                .map(|four| u32::from_ne_bytes(*four))
        };
        let mut at = 0;
        loop {
            let length = match number(at) {
                // Sections may end without the zero.
                None | Some(0) => return Some(()),
                Some(u32::MAX) => return None,
                Some(length) => length as usize,
            };
            // Others tell what functions have in common.
            if number(at + 4)? != 0 {
                let place = start + at as u64 + 8;
                let from = place.checked_add_signed((number(at + 8)? as i32).into())?;
                let to = from + u64::from(number(at + 12)?);
                // The linker left out what it refers to.
                let is_gone = from == to;
                if !is_gone && (from < module.start || to > module.end) {
                    return None;
                }
                self.ranges.push(from..to);
            }
            at += 4 + length;
        }
    }

    /// After all have been added.
    pub(super) fn sorted(mut self) -> Self {
        self.ranges.sort_unstable_by_key(|range| range.start);
        self.ranges.dedup_by(|next, before| {
            let same = next.start < before.end + ALIGNED;
            if same {
                before.end = before.end.max(next.end);
            }
            same
        });
        self.ranges.shrink_to_fit();
        self
    }

    /// Whether there are tables for the code at an address.
    pub(super) fn has(&self, address: u64) -> bool {
        let after = self.ranges.partition_point(|range| range.start <= address);
        let before = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        before.is_some_and(|range| address < range.end)
    }

    /// The registers at the call that led to code without tables; the instruction is the last byte of the call.
    pub(super) fn caller(&self, stack: &mut Stack<'_>, registers: &Registers) -> Option<Registers> {
        let first = registers.stack.next_multiple_of(WORD);
        let mut places = (0..MOST_WORDS).map(|index| first.wrapping_add(index * WORD));
        let place = places.find_map(|place| {
            let word = stack.word(place);
            // The stack ends.
            let Some(word) = word else { return Some(None) };
            self.follows_a_call(word, stack).then_some(Some(place))
        })??;
        Some(Registers {
            instruction: stack.word(place)? - 1,
            stack: place.wrapping_add(WORD),
            frame: self.frame_pointer(place, stack, registers),
            ..*registers
        })
    }

    /// What the frame pointer was at the call whose return address is in this place. Only callers that have one need it. The code
    /// without tables may have saved it, and use the register otherwise.
    fn frame_pointer(&self, place: u64, stack: &mut Stack<'_>, registers: &Registers) -> u64 {
        let is_one = |pointer: u64, stack: &mut Stack<'_>| {
            let is_near = (WORD..FAR).contains(&pointer.wrapping_sub(place));
            is_near && pointer.is_multiple_of(WORD) && {
                let returns = stack.word(pointer.wrapping_add(WORD));
                returns.is_some_and(|word| self.has(word.wrapping_sub(1)))
            }
        };
        if is_one(registers.frame, stack) {
            return registers.frame;
        }
        let mut place = place;
        while place > registers.stack {
            place -= WORD;
            match stack.word(place) {
                Some(saved) if is_one(saved, stack) => return saved,
                _ => (),
            }
        }
        registers.frame
    }

    /// Whether it is a return address of code with tables (Intel: "Software Developer's Manual", volume 2, CALL: near, relative;
    /// near, absolute, by a place relative to the instruction; by a register).
    fn follows_a_call(&self, address: u64, stack: &mut Stack<'_>) -> bool {
        if !self.has(address.wrapping_sub(1)) {
            return false;
        }
        let Some(before) = stack.word(address.wrapping_sub(WORD)) else {
            return false;
        };
        matches!(
            before.to_le_bytes(),
            [_, _, _, 0xe8, ..] | [_, _, 0xff, 0x15, ..] | [.., 0xff, 0xd0..=0xd7]
        )
    }
}
