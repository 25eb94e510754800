//! The sampler of the `pprof` crate (tikv/pprof-rs), tamed.
//!
//! Which unwinder: the default one, libgcc's. The feature `frame-pointer` never records the interrupted function
//! itself, only its callers (tikv/pprof-rs: `src/backtrace/frame_pointer.rs` starts at the saved return address).
//! The feature `framehop-unwinder` opens files and allocates inside its first signal handler, and so hangs a
//! thread that was interrupted within the allocator. libgcc's unwinder is unsafe only where it interrupts itself
//! or the dynamic loader: their locks and lists may be half-changed (tikv/pprof-rs issues 36, 75, 203, 219).
//! [`NEVER_UNWOUND`] keeps the handler away from there.
//!
//! With musl it never gets out of the signal handler, because what that returns to has no unwind table (musl:
//! `src/signal/x86_64/restore.s`), and a static program has no libraries to keep away from.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use pprof::{Error, ProfilerGuard, ProfilerGuardBuilder};

use crate::sample::{SAMPLES_PER_SECOND, Sample, Sampler};
use crate::symbol::function_name;

/// Parts of library paths. A sample that interrupts code of these libraries is not taken: the C library and the
/// dynamic loader hold locks that the unwinder needs, the unwinder itself must not be entered twice, and the
/// kernel's vdso has wrong unwind tables on some systems. Full names, because the program's own path is compared
/// too, and must not match.
const NEVER_UNWOUND: &[&str] = &[
    "/libc.so",
    "/libgcc_s.so",
    "/libpthread.so",
    "/ld-linux",
    "/ld-musl",
    "linux-vdso.so",
    "/usr/lib/dyld",
    "/usr/lib/libunwind",
    "/usr/lib/system/",
];

/// With more different stacks than this the collector is replaced: pprof's table has room for 16,384 and writes
/// what does not fit to a temporary file, which grows; and all of it is copied at each upload, 4 KB a stack.
const MOST_STACKS: usize = 4096;

/// The name of pprof's signal handler; on macOS with an underscore in front.
const HANDLER: &str = "perf_signal_handler";

/// How far from the innermost call the signal handler is looked for. What lies before it is the unwinder.
const HANDLER_DEPTH: usize = 16;

/// pprof's collector can't be emptied, only dropped and made anew, which costs 0.1 s and 70 MB more for good. So it
/// is kept, and what was taken out before is subtracted.
pub(crate) struct PprofSampler {
    most_stacks: usize,
    guard: Option<ProfilerGuard<'static>>,
    /// The counts taken out, by hash of thread and stack.
    taken: HashMap<u64, isize>,
    /// The return address into the signal handler, which is the same in all stacks.
    handler: Option<usize>,
}

impl Sampler for PprofSampler {
    fn start(&mut self) -> Result<(), String> {
        if cfg!(target_env = "musl") {
            return Err("the crate pprof finds no calls with musl".to_owned());
        }
        let guard = ProfilerGuardBuilder::default()
            .frequency(SAMPLES_PER_SECOND)
            .blocklist(NEVER_UNWOUND)
            .build();
        self.guard = Some(guard.map_err(explain)?);
        Ok(())
    }

    fn drain(&mut self, take: &mut dyn FnMut(Sample<'_>)) -> Result<(), String> {
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        // Unresolved: pprof's own report names the functions under the lock that the handler needs.
        let report = guard.report().build_unresolved().map_err(explain)?;
        for (found, count) in &report.data {
            let before = self.taken.insert(hash(found), *count).unwrap_or(0);
            let Ok(count @ 1..) = u64::try_from(count.saturating_sub(before)) else {
                continue;
            };
            let mut addresses: Vec<usize> = found
                .frames
                .iter()
                .map(|frame| frame.ip() as usize)
                // Where the unwinder finds no more, it says so by an address of 0.
                .take_while(|address| *address != 0)
                .collect();
            let first = self.first_of_program(&addresses);
            let stack = &mut addresses[first..];
            let Some(interrupted) = stack.first_mut() else {
                // The unwinder could not leave the handler. A sample of nothing is not a valid one.
                continue;
            };
            // All others are return addresses.
            *interrupted += 1;
            let thread = &found.thread_name[..found.thread_name_length];
            take(Sample {
                // The crate keeps the time of the first of equal samples only.
                time: 0,
                stack,
                thread: &String::from_utf8_lossy(thread),
                count,
                ..Sample::default()
            });
        }
        if report.data.len() > self.most_stacks {
            drop(report);
            self.stop();
            self.start()?;
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.guard = None;
        self.taken.clear();
    }
}

impl Default for PprofSampler {
    fn default() -> Self {
        Self {
            most_stacks: MOST_STACKS,
            guard: None,
            taken: HashMap::new(),
            handler: None,
        }
    }
}

impl PprofSampler {
    /// The place of the interrupted call in a stack: after the handler and the trampoline that the kernel makes it
    /// return to. 0 where the handler can't be told, because the program has no symbols.
    fn first_of_program(&mut self, stack: &[usize]) -> usize {
        let inner = &stack[..stack.len().min(HANDLER_DEPTH)];
        if self.handler.is_none() {
            self.handler = inner.iter().copied().find(|address| {
                function_name(*address).is_some_and(|name| name.trim_start_matches('_') == HANDLER)
            });
        }
        inner
            .iter()
            .position(|address| Some(*address) == self.handler)
            .map_or(0, |handler| (handler + 2).min(stack.len()))
    }
}

fn hash(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn explain(error: Error) -> String {
    match error {
        Error::Running => {
            "can't sample: another profiler of this process uses pprof, which allows one at a time"
                .to_owned()
        }
        Error::CreatingError | Error::IoError(_) => {
            format!("can't sample: pprof needs a writable directory for temporary files ({error})")
        }
        error => format!("can't sample: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CPU time of this thread, which other programs on the machine don't shorten.
    fn cpu_nanos() -> u64 {
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        schedstat.split(' ').next().unwrap().parse().unwrap()
    }

    /// So short that it is often interrupted at its first instruction.
    #[inline(never)]
    fn one_less(number: u64) -> u64 {
        std::hint::black_box(number) - 1
    }

    /// Works for 0.2 s of CPU time and returns how often this thread was sampled.
    fn counts(sampler: &mut PprofSampler) -> u64 {
        let end = cpu_nanos() + 200_000_000;
        while cpu_nanos() < end {
            let mut left = 100_000;
            while left > 0 {
                left = one_less(left);
            }
        }
        let own = std::thread::current().name().unwrap().to_owned();
        let mut counts = 0;
        sampler
            .drain(&mut |sample| {
                let names: Vec<_> = sample.stack.iter().map(|at| function_name(*at)).collect();
                if sample.thread == own {
                    counts += sample.count;
                    // The linker's stubs have neither names nor unwind tables: a stack ends there.
                    let stub = names.len() == 1;
                    assert!(names[0].is_some() || stub, "{sample:x?} {names:?}");
                }
                let mut names = names.iter().flatten();
                assert!(!names.any(|name| name.contains(HANDLER)));
            })
            .unwrap();
        counts
    }

    fn each_sample_is_taken_once(most_stacks: usize) {
        let mut sampler = PprofSampler {
            most_stacks,
            ..PprofSampler::default()
        };
        sampler.start().unwrap();
        for round in 0..2 {
            let counts = counts(&mut sampler);
            assert!((8..160).contains(&counts), "round {round}: {counts}");
            assert_eq!(sampler.taken.is_empty(), most_stacks == 0);
        }
        sampler.stop();
        assert_eq!(counts(&mut sampler), 0);
    }

    #[test]
    #[cfg_attr(target_env = "musl", ignore = "it finds no calls there")]
    fn each_sample_is_taken_once_also_where_the_collector_is_replaced() {
        let _turn = crate::sampler::tests::turn();
        let thread = std::thread::Builder::new().name("sampled".to_owned());
        thread
            .spawn(|| [MOST_STACKS, 0].map(each_sample_is_taken_once))
            .unwrap()
            .join()
            .unwrap();
    }
    #[test]
    #[cfg(target_env = "musl")]
    fn says_that_it_finds_nothing() {
        let refused = PprofSampler::default().start().unwrap_err();
        assert!(refused.contains("with musl"), "{refused}");
    }
}
