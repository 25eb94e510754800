//! Finds the callers of interrupted code, within a signal handler or while the thread is stopped.

use std::mem;
use std::sync::{Arc, Mutex};

use framehop::{
    CacheNative, MustNotAllocateDuringUnwind, UnwindRegsNative, Unwinder as _, UnwinderNative,
};

use crate::timer::modules::{self, Table, Version};
use crate::timer::signal::Registers;
use crate::timer::stack::{Stack, Window};
use crate::timer::sys::PAGE;
use crate::timer::untold::Told;

/// What it knows of the code that is loaded.
#[derive(Default)]
struct Unwinder {
    native: UnwinderNative<Table, MustNotAllocateDuringUnwind>,
    /// `None` where everything is taken to have tables.
    told: Option<Told>,
}

type Cache = CacheNative<MustNotAllocateDuringUnwind>;

/// Several unwinders, because each works for one thread at a time.
///
/// Handlers only ever try to lock, and so does [`Unwinders::refresh`]: nobody waits, and nobody has to be woken.
pub(crate) struct Unwinders {
    all: Box<[Mutex<State>]>,
}

struct State {
    /// What the unwinder knows; `None` before the first look.
    version: Option<Version>,
    unwinder: Arc<Unwinder>,
    cache: Cache,
    window: Window,
}

impl Unwinders {
    pub(crate) fn new(count: usize) -> Self {
        let empty = |_| {
            Mutex::new(State {
                version: None,
                unwinder: Arc::new(Unwinder::default()),
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
        let version = Some(modules::version());
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

    /// Hands `take` the calls that lead to the interrupted code of this thread, the innermost first, until it returns
    /// false. False if all unwinders are in use. For the signal handler.
    pub(crate) fn unwind(
        &self,
        thread: u32,
        registers: &Registers,
        take: impl FnMut(usize) -> bool,
    ) -> bool {
        self.with_free(thread, |unwinder, cache, window| {
            let stack = Stack::of_this_thread(registers.stack, window);
            calls(unwinder, cache, stack, registers, take);
        })
    }

    /// As [`Self::unwind`], for another thread, which has stopped.
    pub(crate) fn unwind_another(
        &self,
        thread: u32,
        registers: &Registers,
        take: impl FnMut(usize) -> bool,
    ) -> bool {
        self.with_free(thread, |unwinder, cache, window| {
            let stack = Stack::of_another_thread(window);
            calls(unwinder, cache, stack, registers, take);
        })
    }

    #[inline]
    fn with_free(
        &self,
        thread: u32,
        work: impl FnOnce(&Unwinder, &mut Cache, &mut Window),
    ) -> bool {
        // The same one for the same thread, as its cache knows the thread's calls.
        let (before, from) = self.all.split_at(thread as usize % self.all.len());
        let mut free = from.iter().chain(before).map(Mutex::try_lock);
        let Some(mut state) = free.find_map(Result::ok) else {
            return false;
        };
        let state = &mut *state;
        work(&state.unwinder, &mut state.cache, &mut state.window);
        true
    }
}

fn load() -> Unwinder {
    let (modules, told) = modules::load();
    let mut native = UnwinderNative::new();
    for module in modules {
        native.add_module(module);
    }
    Unwinder { native, told }
}

#[inline]
fn calls(
    unwinder: &Unwinder,
    cache: &mut Cache,
    mut stack: Stack<'_>,
    registers: &Registers,
    mut take: impl FnMut(usize) -> bool,
) {
    let mut registers = *registers;
    let is_untold = |address| {
        unwinder
            .told
            .as_ref()
            .is_some_and(|told| !told.has(address))
    };
    if is_untold(registers.instruction) {
        if !take(registers.instruction.wrapping_add(1) as usize) {
            return;
        }
        let told = unwinder.told.as_ref();
        let Some(caller) = told.and_then(|told| told.caller(&mut stack, &registers)) else {
            return;
        };
        registers = caller;
    }
    let mut read = |address| stack.word(address).ok_or(());
    let from = registers.instruction;
    let native = native(&registers);
    let mut calls = unwinder.native.iter_frames(from, native, cache, &mut read);
    while let Ok(Some(call)) = calls.next() {
        // What is no return address becomes one, as `Sample` wants it.
        let past = u64::from(!call.is_return_address());
        // No code is in the first page.
        let is_none = call.is_return_address() && call.address() < PAGE as u64;
        if is_none || !take(call.address().wrapping_add(past) as usize) {
            break;
        }
        // Without a table, the rest would be a guess.
        if call.is_return_address() && is_untold(call.address() - 1) {
            break;
        }
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
