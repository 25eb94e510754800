//! Code without unwind tables: which it is, and who called it.
//!
//! musl has none (musl: `configure`, `-fno-unwind-tables`), and a program of it spends much of its time there: in system calls,
//! in `memcpy` and in the allocator. So its caller is looked for on the stack: the first address there that follows a call
//! which leads here, within code that has tables. From there on these lead. The frames of musl between are left out.

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

/// Functions of the C library are smaller, but for a few.
const FUNCTION: u64 = 4096;

/// How far into a function jumps to another are looked for, and how many are followed: those of the allocator's shims.
const JUMPS_WITHIN: u64 = 64;
const MOST_JUMPS: u32 = 3;

const WORD: u64 = size_of::<u64>() as u64;

/// Functions start at multiples of this: what is between them is no code.
const ALIGNED: u64 = 16;

/// The code that has unwind tables.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By address, and apart from each other.
    ranges: Vec<Range<u64>>,
    /// All code that is loaded.
    code: Vec<Range<u64>>,
}

impl Told {
    pub(super) fn add_code(&mut self, range: Range<u64>) {
        self.code.push(range);
    }

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
        let mut inside = registers.instruction;
        let mut likely = None;
        for index in 0..MOST_WORDS {
            let place = first.wrapping_add(index * WORD);
            let Some(word) = stack.word(place) else { break };
            if !self.is_code(word.wrapping_sub(1)) {
                continue;
            }
            let Some(call) = called_before(word, stack) else {
                continue;
            };
            let leads_here = match call {
                Call::To(target) => self.leads_to(target, inside, MOST_JUMPS, stack),
                Call::Unknown => self.has(word - 1),
            };
            match (leads_here, self.has(word - 1)) {
                // Another function of the C library.
                (true, false) => inside = word - 1,
                (true, true) => {
                    likely = Some(place);
                    break;
                }
                // What was left there by others, or a way here that is not understood.
                (false, true) => likely = likely.or(Some(place)),
                (false, false) => (),
            }
        }
        let place = likely?;
        Some(Registers {
            instruction: stack.word(place)? - 1,
            stack: place.wrapping_add(WORD),
            frame: self.frame_pointer(place, stack, registers),
            ..*registers
        })
    }

    /// Whether a call of `target` leads to `inside`, which has no tables: as a part of that function, or by a jump at its end.
    fn leads_to(&self, target: u64, inside: u64, jumps: u32, stack: &mut Stack<'_>) -> bool {
        if !self.has(target) && (target..target.saturating_add(FUNCTION)).contains(&inside) {
            return true;
        }
        jumps > 0
            && (0..JUMPS_WITHIN).any(|offset| {
                let at = target.wrapping_add(offset);
                let jumped = stack.word(at).and_then(|word| match word.to_le_bytes() {
                    [0xe9, ..] => Some(relative(at + 5, word >> 8)),
                    [0xff, 0x25, ..] => stack.word(relative(at + 6, word >> 16)),
                    _ => None,
                });
                let jumped = jumped.filter(|target| self.is_code(*target));
                jumped.is_some_and(|target| self.leads_to(target, inside, jumps - 1, stack))
            })
    }

    fn is_code(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
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
        // The innermost frame that has one is the nearest.
        let mut saved_at = place;
        let mut nearest = None;
        while saved_at > registers.stack {
            saved_at -= WORD;
            let saved = stack.word(saved_at).filter(|saved| is_one(*saved, stack));
            nearest = saved.into_iter().chain(nearest).min();
        }
        nearest.unwrap_or(registers.frame)
    }
}

/// What a call instruction calls.
enum Call {
    To(u64),
    /// What is in a register.
    Unknown,
}

/// The call before a return address, if one is there (Intel: "Software Developer's Manual", volume 2, CALL: near, relative;
/// near, absolute, by a place relative to the instruction; by a register).
fn called_before(address: u64, stack: &mut Stack<'_>) -> Option<Call> {
    let before = stack.word(address.wrapping_sub(WORD))?;
    match before.to_le_bytes() {
        [_, _, _, 0xe8, ..] => Some(Call::To(relative(address, before >> 32))),
        [_, _, 0xff, 0x15, ..] => stack.word(relative(address, before >> 32)).map(Call::To),
        [.., 0xff, 0xd0..=0xd7] => Some(Call::Unknown),
        _ => None,
    }
}

/// An address relative to another one, by a signed number in the lower half of a word.
fn relative(address: u64, word: u64) -> u64 {
    address.wrapping_add_signed((word as i32).into())
}
