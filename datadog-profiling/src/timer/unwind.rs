//! Finds the callers of interrupted code, within a signal handler or while the thread is stopped.

use std::mem;
use std::sync::{Arc, Mutex};

use framehop::{
    CacheNative, MustNotAllocateDuringUnwind, UnwindRegsNative, Unwinder as _, UnwinderNative,
};

use crate::timer::modules::{self, Table, Version};
use crate::timer::sys::{self, Registers, TwoPages};

type Unwinder = UnwinderNative<Table, MustNotAllocateDuringUnwind>;
type Cache = CacheNative<MustNotAllocateDuringUnwind>;

/// Several unwinders, because each works for one thread at a time.
///
/// Handlers only ever try to lock, and so does [`Unwinders::refresh`]: nobody waits, and nobody has to be woken.
pub(crate) struct Unwinders {
    all: Box<[Mutex<State>]>,
}

struct State {
    version: Version,
    unwinder: Arc<Unwinder>,
    cache: Cache,
    window: Window,
}

impl Unwinders {
    pub(crate) fn new(count: usize) -> Self {
        let empty = |_| {
            Mutex::new(State {
                version: Version::default(),
                unwinder: Arc::new(Unwinder::new()),
                cache: Cache::new_in(),
                window: Window::new(),
            })
        };
        Self {
            all: (0..count).map(empty).collect(),
        }
    }

    /// Takes over libraries that were loaded or unloaded since. An unwinder that is in use gets them the next time.
    pub(crate) fn refresh(&self) {
        let version = modules::version();
        let mut newest = None;
        for state in &self.all {
            let Ok(mut state) = state.try_lock() else {
                continue;
            };
            if state.version == version {
                continue;
            }
            let newest = newest.get_or_insert_with(|| Arc::new(load()));
            let unwinder = mem::replace(&mut state.unwinder, Arc::clone(newest));
            // Rules of the old libraries must not be found for the new ones.
            let cache = mem::take(&mut state.cache);
            state.version = version;
            drop(state);
            drop((unwinder, cache));
        }
    }

    /// Hands `take` what tells one by one the calls that lead to the interrupted code, the innermost first. False if all
    /// unwinders are in use. For the signal handler.
    pub(crate) fn unwind(
        &self,
        thread: u32,
        registers: &Registers,
        take: impl FnOnce(&mut dyn FnMut() -> Option<usize>),
    ) -> bool {
        // The same one for the same thread, as its cache knows the thread's calls.
        let (before, from) = self.all.split_at(thread as usize % self.all.len());
        let mut free = from.iter().chain(before).map(Mutex::try_lock);
        let Some(mut state) = free.find_map(Result::ok) else {
            return false;
        };
        state.calls(registers, take);
        true
    }
}

fn load() -> Unwinder {
    let mut unwinder = Unwinder::new();
    for module in modules::load() {
        unwinder.add_module(module);
    }
    unwinder
}

impl State {
    fn calls(
        &mut self,
        registers: &Registers,
        take: impl FnOnce(&mut dyn FnMut() -> Option<usize>),
    ) {
        self.window.length = 0;
        let mut read = |address| self.window.word(address).ok_or(());
        let mut calls = self.unwinder.iter_frames(
            registers.instruction,
            native(registers),
            &mut self.cache,
            &mut read,
        );
        take(&mut || {
            let call = calls.next().ok()??;
            // What is no return address becomes one, as `Sample` wants it.
            let past = u64::from(!call.is_return_address());
            Some(call.address().wrapping_add(past) as usize)
        });
    }
}

#[cfg(target_arch = "x86_64")]
fn native(registers: &Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(registers.instruction, registers.stack, registers.frame)
}

#[cfg(target_arch = "aarch64")]
fn native(registers: &Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(registers.link, registers.stack, registers.frame)
}

/// A copy of the part of the stack that is being read: one system call for many words, which can't fault.
struct Window {
    start: u64,
    length: usize,
    bytes: Box<TwoPages>,
}

impl Window {
    fn new() -> Self {
        Self {
            start: 0,
            length: 0,
            bytes: Box::new([0; size_of::<TwoPages>()]),
        }
    }

    fn word(&mut self, address: u64) -> Option<u64> {
        self.cached(address).or_else(|| {
            (self.start, self.length) = sys::read_memory(address, &mut self.bytes);
            self.cached(address)
        })
    }

    fn cached(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let word = self.bytes[..self.length].get(offset..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_here_and_there_and_none_where_nothing_is() {
        let words: Vec<u64> = (0..4096).collect();
        let mut window = Window::new();
        for index in [0, 4095, 1, 2000, 4094] {
            let at = &raw const words[index] as u64;
            assert_eq!(window.word(at), Some(index as u64));
        }
        assert_eq!(window.word(16), None);
        assert_eq!(window.word(u64::MAX), None);
        assert_eq!(window.word(u64::MAX - 7), None);
    }
}
