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
                let to = from.checked_add(number(at + 12)?.into())?;
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
        let first = registers.stack & !(WORD - 1);
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
        let mut caller = *registers;
        caller.instruction = stack.word(place)? - 1;
        caller.stack = place.wrapping_add(WORD);
        caller.frame = self.frame_pointer(place, stack, registers);
        Some(caller)
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

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::timer::stack::Window;

    /// A program: in the first half what has tables, in the second what has none.
    struct Program(Vec<u8>);

    const HALF: usize = 1 << 14;

    impl Program {
        fn new() -> Self {
            Self(vec![0x90; 2 * HALF])
        }

        fn at(&self, offset: usize) -> u64 {
            self.0.as_ptr() as u64 + offset as u64
        }

        /// Writes an instruction that ends in four bytes relative to what comes after it, which is returned.
        fn write(&mut self, at: usize, instruction: &[u8], target: usize) -> u64 {
            let after = at + instruction.len() + 4;
            let relative = (target as i32 - after as i32).to_le_bytes();
            self.0[at..after].copy_from_slice(&[instruction, &relative[..]].concat());
            self.at(after)
        }

        fn told(&self) -> Told {
            let mut told = Told::default();
            told.ranges.push(self.at(0)..self.at(HALF));
            told.add_code(self.at(0)..self.at(2 * HALF));
            told
        }

        /// Who called the code at `inside`, with this on the stack and nothing above: the return address and the frame pointer.
        fn caller(&self, inside: usize, stack: &[u64], frame: u64) -> Option<(u64, u64)> {
            self.caller_on(&deep(stack), inside, frame)
        }

        fn caller_on(&self, stack: &[u64], inside: usize, frame: u64) -> Option<(u64, u64)> {
            let mut window = Window::new();
            let registers = Registers {
                instruction: self.at(inside),
                stack: stack.as_ptr() as u64,
                frame,
            };
            let mut read = Stack::of_another_thread(&mut window);
            let caller = self.told().caller(&mut read, &registers)?;
            let used = (caller.stack - registers.stack) / WORD;
            assert_eq!(stack[used as usize - 1], caller.instruction + 1);
            Some((caller.instruction + 1, caller.frame))
        }
    }

    /// More words than are looked through.
    fn deep(stack: &[u64]) -> Vec<u64> {
        let mut words = stack.to_vec();
        words.resize(MOST_WORDS as usize + 10, 0);
        words
    }

    const CALL: &[u8] = &[0xe8];
    const CALL_BY_PLACE: &[u8] = &[0xff, 0x15];
    const JUMP: &[u8] = &[0xe9];

    /// Of a function without tables, and of another, far from it.
    const HERE: usize = HALF + 64;
    const ELSEWHERE: usize = HALF + 3 * HALF / 4;

    #[test]
    fn what_others_left_on_the_stack_is_passed_over() {
        let mut program = Program::new();
        let left = program.write(100, CALL, ELSEWHERE);
        let left_too = program.write(200, CALL, 4000);
        let caller = program.write(300, CALL, HERE);
        let outer = program.write(400, CALL, HERE);
        let data = &raw const outer as u64;
        let stack = [7, left, data, left_too, program.at(50), caller, 0, outer];
        let found = program.caller(HERE + 20, &stack, 7);
        assert_eq!(found, Some((caller, 7)));
    }

    #[test]
    fn the_functions_between_are_passed_through() {
        let mut program = Program::new();
        let left = program.write(100, CALL, HERE);
        let between = program.write(ELSEWHERE + 80, CALL, HERE);
        let place = program.at(4096);
        let address = program.at(ELSEWHERE).to_le_bytes();
        program.0[4096..4104].copy_from_slice(&address);
        let caller = program.write(300, CALL_BY_PLACE, 4096);
        let found = program.caller(HERE + 20, &[between, left, place, caller, 0], 7);
        assert_eq!(found, Some((caller, 7)));
    }

    #[test]
    fn a_jump_at_the_end_of_a_function_leads_on() {
        let mut program = Program::new();
        let left = program.write(100, CALL, ELSEWHERE);
        let caller = program.write(300, CALL, 1000);
        program.write(1010, JUMP, 2000);
        program.write(2000, JUMP, HERE);
        let found = program.caller(HERE + 20, &[left, 0, caller], 7);
        assert_eq!(found, Some((caller, 7)));
    }

    #[test]
    fn a_call_by_a_register_may_lead_anywhere() {
        let mut program = Program::new();
        program.0[300..302].copy_from_slice(&[0xff, 0xd3]);
        let caller = program.at(302);
        let found = program.caller(HERE + 20, &[7, caller], 7);
        assert_eq!(found, Some((caller, 7)));
        // Another call that is not understood is better than none.
        let other = program.write(400, CALL, 5000);
        assert_eq!(program.caller(HERE + 20, &[7, other], 7), Some((other, 7)));
    }

    #[test]
    fn the_frame_pointer_is_the_saved_one_of_the_nearest_frame() {
        let mut program = Program::new();
        let caller = program.write(300, CALL, HERE);
        let outer = program.write(400, CALL, 300);
        let mut stack = deep(&[0, 0, 0, caller, 0, 0, outer, 0, outer]);
        let place = |index: usize| stack.as_ptr() as u64 + 8 * index as u64;
        let (near, far, none) = (place(5), place(7), place(4));
        stack[..3].copy_from_slice(&[none, near, far]);
        let found = program.caller_on(&stack, HERE + 20, 7);
        assert_eq!(found, Some((caller, near)));
        // Unless it still is in the register.
        let found = program.caller_on(&stack, HERE + 20, far);
        assert_eq!(found, Some((caller, far)));
    }

    #[test]
    fn a_stack_without_callers_has_none() {
        let program = Program::new();
        assert_eq!(program.caller(HERE, &[program.at(50); 50], 7), None);
        let mut window = Window::new();
        let mut nowhere = Stack::of_another_thread(&mut window);
        let registers = Registers {
            instruction: program.at(HERE),
            stack: u64::MAX,
            frame: u64::MAX,
        };
        assert!(program.told().caller(&mut nowhere, &registers).is_none());
    }

    /// What functions have in common, and then one function of this length, at an address relative to its place.
    fn table(function: i32, length: u32) -> Vec<u8> {
        let common = [8_u32.to_ne_bytes(), [0; 4], *b"\x01zR\0"].concat();
        let own = [12_u32.to_ne_bytes(), 16_u32.to_ne_bytes()].concat();
        let place = [function.to_ne_bytes(), length.to_ne_bytes()].concat();
        [common, own, place, vec![0; 4]].concat()
    }

    #[test]
    fn reads_which_code_has_tables() {
        let module = 0x1000..0x9000;
        let mut told = Told::default();
        // The place is 20 bytes after the start of the table.
        assert_eq!(
            told.add(&table(0x1000 - 20, 0x40), 0x4000, &module),
            Some(())
        );
        assert_eq!(
            told.add(&table(-0x1000 - 20, 0x38), 0x4000, &module),
            Some(())
        );
        assert_eq!(
            told.add(&table(-0x0fc0 - 20, 0x40), 0x4000, &module),
            Some(())
        );
        assert_eq!(told.add(&table(-0x4014, 0), 0x4000, &module), Some(()));
        let told = told.sorted();
        assert_eq!(told.ranges.len(), 2 + 1, "{told:x?}");
        for (address, has) in [
            (0x2fff, false),
            (0x3000, true),
            (0x307f, true),
            (0x3080, false),
            (0x5000, true),
            (0x5040, false),
        ] {
            assert_eq!(told.has(address), has, "{address:x}");
        }
        // One that is written in another way says what can't be.
        let mut told = Told::default();
        assert_eq!(told.add(&table(0x10_0000, 0x40), 0x4000, &module), None);
        for length in 0..28 {
            let cut = &table(0x1000 - 20, 0x40)[..length];
            let _ = Told::default().add(cut, 0x4000, &module);
        }
    }
}
