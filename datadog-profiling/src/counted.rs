//! What a profile has beside CPU time: allocations, waits for locks, panics, and time by the wall clock.

use crate::sample::{Profile, Sample, SpanIds};
use crate::symbol::{Symbol, Symbols};

/// A stack and what was counted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The return address of each call, the innermost first.
    pub(crate) stack: Box<[usize]>,
    /// The thread's name; empty where it has none or is not known.
    pub(crate) thread: Box<str>,
    /// The kind of an exception; empty where it is none.
    pub(crate) exception: &'static str,
    /// The span that was active. Memory in use belongs to none, and of allocations and waits what there was no place for.
    pub(crate) span: Option<SpanIds>,
    pub(crate) values: Values,
}

impl Counted {
    /// Leaves the machinery away: the stack begins with the call that allocated, waited or panicked. It stays as it is in a
    /// program without symbols.
    pub(crate) fn keep_program(&mut self, symbols: &mut Symbols) {
        // A call into which the machinery is inlined is the program's, so the outermost function counts.
        let mut is = |machinery: &Machinery, address: &usize| {
            symbols
                .at(*address)
                .last()
                .is_some_and(|symbol| machinery.has(symbol))
        };
        let machinery = if self.exception.is_empty() {
            let mut calls = self.stack.iter();
            calls.position(|address| !is(&ALLOCATING, address))
        } else {
            // Hooks of others may lie between.
            let inner = &self.stack[..self.stack.len().min(PANICKING_CALLS)];
            let last = inner.iter().rposition(|address| is(&PANICKING, address));
            last.map(|last| last + 1)
        };
        if let Some(machinery @ 1..) = machinery
            && machinery < self.stack.len()
        {
            self.stack = self.stack[machinery..].into();
        }
    }

    /// Leaves away all but so many calls, counted from the innermost.
    pub(crate) fn keep_inner(&mut self, calls: usize) {
        if let Some(inner) = self.stack.get(..calls) {
            self.stack = inner.into();
        }
    }
}

/// One number for each of [`TYPES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Values {
    pub(crate) allocated_objects: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) in_use_objects: u64,
    pub(crate) in_use_bytes: u64,
    pub(crate) exceptions: u64,
    pub(crate) lock_acquires: u64,
    pub(crate) lock_wait_nanos: u64,
    pub(crate) wall_samples: u64,
    pub(crate) wall_nanos: u64,
}

/// Name and unit of each value (libdatadog: `libdd-profiling/src/api/sample_type.rs`).
const TYPES: [(&str, &str); 9] = [
    ("alloc-samples", "count"),
    ("alloc-space", "bytes"),
    ("inuse-objects", "count"),
    ("inuse-space", "bytes"),
    ("exception-samples", "count"),
    ("lock-acquire", "count"),
    ("lock-acquire-wait", "nanoseconds"),
    ("wall-samples", "count"),
    ("wall-time", "nanoseconds"),
];

impl Values {
    /// Leaves away what is in use.
    pub(crate) fn leave_in_use(&mut self) {
        (self.in_use_objects, self.in_use_bytes) = (0, 0);
    }

    /// What the wall clock showed of a sample.
    pub(crate) fn of_sample(sample: &Sample<'_>) -> Self {
        Self {
            wall_samples: sample.wall_count,
            wall_nanos: sample.wall_nanos,
            ..Self::default()
        }
    }

    /// The sums, which say which kinds of values there are.
    pub(crate) fn present(profile: &Profile) -> Self {
        let mut sums = Self::default();
        let samples = profile.samples.iter();
        let samples = samples.map(|sample| Self::of_sample(&sample));
        for values in samples.chain(profile.counted.iter().map(|counted| counted.values)) {
            sums.allocated_objects += values.allocated_objects;
            sums.allocated_bytes += values.allocated_bytes;
            sums.in_use_objects += values.in_use_objects;
            sums.in_use_bytes += values.in_use_bytes;
            sums.exceptions += values.exceptions;
            sums.lock_acquires += values.lock_acquires;
            sums.lock_wait_nanos += values.lock_wait_nanos;
            sums.wall_samples += values.wall_samples;
            sums.wall_nanos += values.wall_nanos;
        }
        sums
    }

    /// The types of which there is something.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let present = TYPES.into_iter().zip(self.in_order());
        present.filter(|(_, sum)| *sum > 0).map(|(kind, _)| kind)
    }

    /// The values of these types.
    pub(crate) fn of(&self, values: &Self) -> impl Iterator<Item = u64> + use<> {
        let all = self.in_order().into_iter().zip(values.in_order());
        all.filter(|(sum, _)| *sum > 0).map(|(_, value)| value)
    }

    fn in_order(&self) -> [u64; TYPES.len()] {
        [
            self.allocated_objects,
            self.allocated_bytes,
            self.in_use_objects,
            self.in_use_bytes,
            self.exceptions,
            self.lock_acquires,
            self.lock_wait_nanos,
            self.wall_samples,
            self.wall_nanos,
        ]
    }
}

/// How deep what runs between a panic and its hooks can be.
const PANICKING_CALLS: usize = 32;

/// Functions that are not the program's.
struct Machinery {
    /// How their names begin.
    names: &'static [&'static str],
    /// How their source files end, for programs without qualified names.
    files: &'static [&'static str],
}

/// What an allocation or a wait for a lock calls.
const ALLOCATING: Machinery = Machinery {
    names: &[
        "alloc::alloc::",
        "backtrace::",
        "datadog_profiling::allocation::",
        "datadog_profiling::callers::",
        "datadog_profiling::lock::",
        "datadog_profiling::lock_waits::",
        "__rust_alloc",
        "__rust_realloc",
        "__rustc::__rust_alloc",
        "__rustc::__rust_realloc",
    ],
    files: &[
        "/alloc/src/alloc.rs",
        "/src/allocation/allocator.rs",
        "/src/allocation/recorder.rs",
        "/src/backtrace/libunwind.rs",
        "/src/backtrace/mod.rs",
        "/src/callers.rs",
        "/src/lock.rs",
        "/src/lock_waits.rs",
    ],
};

/// What a panic calls.
const PANICKING: Machinery = Machinery {
    names: &[
        "core::panicking::",
        "datadog_profiling::panics::",
        "rust_begin_unwind",
        "__rustc::rust_begin_unwind",
        "std::panicking::",
    ],
    files: &[
        "/core/src/panicking.rs",
        "/src/panics.rs",
        "/std/src/panicking.rs",
    ],
};

/// What of `std::panicking` runs the program's code, and so belongs to the outer part of a stack.
const CATCHING: [&str; 3] = ["catch_unwind", "do_call", "try"];

impl Machinery {
    fn has(&self, symbol: &Symbol) -> bool {
        let name = symbol.name.trim_start_matches('<');
        let (mut names, mut files) = (self.names.iter(), self.files.iter());
        let known = names.any(|start| name.starts_with(start))
            || files.any(|end| symbol.file.ends_with(end));
        let name = name.strip_prefix("std::panicking::").unwrap_or(name);
        known && !CATCHING.iter().any(|start| name.starts_with(start))
    }
}
