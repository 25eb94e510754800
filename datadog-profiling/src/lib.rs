//! Continuous profiles for Datadog, from production: which functions the program spends its time in, which allocate
//! and hold its memory, and where it panics.
//!
//! Used through the `datadog` facade (feature `profiling`), or alone:
//!
//! ```
//! use std::time::Duration;
//!
//! use datadog_config::DDConfig;
//! use datadog_profiling::Profiler;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let agent = datadog_local_agent::LocalAgent::start()?;
//! # let url = agent.url();
//! let config = DDConfig::builder().service("shop").agent_url(url).build()?;
//! let profiler = Profiler::start(&config)?;
//! profiler.start_sampling();
//! # profiler.flush(Duration::from_secs(10));
//! # let end = std::time::Instant::now() + Duration::from_millis(300);
//! # let mut work = Vec::new();
//! # while std::time::Instant::now() < end { work.push(0u8); work.sort(); }
//! // … the program works …
//! profiler.stop_sampling();
//! # assert_eq!(
//! profiler.flush(Duration::from_secs(10)).delivered
//! # , 1);
//! # Ok(()) }
//! ```
//!
//! With `profiling_enabled(true)` in the config, or `DD_PROFILING_ENABLED=true` in the environment, the program is
//! sampled from the start; with `auto`, as soon as it runs for 30 seconds and made a span, so that short commands
//! and what isn't traced are left alone. A profile is uploaded to the agent every
//! [`profiling_upload_period`](datadog_config::DDConfig::profiling_upload_period), at each flush and at the
//! shutdown, or without an agent to the intake, where
//! [`profiling_agentless`](datadog_config::DDConfig::profiling_agentless) says so; one in which nothing was sampled is not. Its
//! samples carry the thread, and the span that was active; its tags name the service, the process and the `runtime-id`
//! that the tracer's spans carry too.
//!
//! # Profiles and traces
//!
//! Labels join a sample to the trace that it is part of:
//!
//! | label | what | option |
//! |---|---|---|
//! | `span id`, `local root span id` | the span that was active, and the first of its trace in this process | `DD_PROFILING_CODE_HOTSPOTS_COLLECTION_ENABLED` |
//! | `trace endpoint` | the resource of the local root, such as `GET /cart/{id}`; of requests, jobs and spans without a type, not of such as SQL, whose resources may tell secrets | `DD_PROFILING_ENDPOINT_COLLECTION_ENABLED` |
//! | `end_timestamp_ns` | when it was taken, for a timeline; each sample is a row then | `DD_PROFILING_TIMELINE_ENABLED`, off by default |
//! | `thread name`, `thread id` | of the system | |
//!
//! The ids are right in futures too, whatever runs them: a span is active while its future is polled. The endpoint is
//! what the resource is in the end; of a request that is not at its end, what it is when the profile is made. With
//! `DD_PROFILING_ENDPOINT_COUNT_ENABLED` an upload tells how often each was served. Local roots that end while the program
//! is sampled carry the tag `_dd.profiling.enabled`.
//!
//! Allocations, waits for locks and panics carry the ids of their spans, too; what is in use does not, because it outlives
//! them. Of allocations and of waits, 16,384 pairs of a stack and a span are told apart in a profile; what is
//! beyond is counted without its span.
//!
//! # How it works
//!
//! On Linux, x86_64 and aarch64, each thread has a timer of its CPU time, which interrupts it 99 times in each second
//! that it works (`timer_create`, `SIGPROF`). The signal handler finds its calls by the unwind tables of the program
//! and its libraries (`framehop`), reads the ids of the active span, and leaves them in a ring of fixed size. It
//! neither allocates nor waits, so it may interrupt anything: the allocator, the dynamic loader, a panic. The thread's own
//! stack is read in place, where the C library says that it is (glibc); that of a coroutine, and whatever a wrong table points to,
//! is copied by a system call, which can't fault and takes a microsecond more. A thread
//! `datadog-sampler` looks five times a second for threads and libraries that came or went, and empties the ring. A
//! timer of the whole process stands in for threads that end before they are seen (Linux 6.4 or newer: older
//! kernels interrupt the main thread instead of the one that works).
//!
//! Everything else is the worker's: starting, naming the functions, packing, uploading. A caller of [`Profiler`] only
//! flips a switch.
//!
//! Where a seccomp filter forbids `process_vm_readv`, the copies are made of `/proc/self/mem`, which takes longer. Where the
//! system forbids timers, profiling is off, and the log and the account's last error say why.
//!
//! # Allocations
//!
//! A program that installs the [`ProfiledAllocator`] has them in the same profile:
//!
//! ```
//! use datadog_profiling::ProfiledAllocator;
//!
//! #[global_allocator]
//! static ALLOCATOR: ProfiledAllocator = ProfiledAllocator::system();
//! # fn main() {}
//! ```
//!
//! | sample type | unit | what |
//! |---|---|---|
//! | `alloc-samples`, `alloc-space` | count, bytes | what a stack allocated in the time of the profile |
//! | `inuse-objects`, `inuse-space` | count, bytes | what it allocated since sampling began and is not freed at the end |
//! | `exception-samples` | count | panics, with `exception type` `panic`; these need no allocator |
//!
//! A thread notes its stack once for each 512 KiB that it allocates, on average and at random (a Poisson process), so
//! what is seldom sampled counts for more and the sums are right: 400 samples, of 200 MiB, have a standard deviation
//! of 5 %. [`allocation_figures`] gives the sums of the process.
//!
//! Up to 8192 stacks with 128 calls each are told apart, and 65,536 samples followed until they are freed, some 16 GB of
//! memory in use at least; what is beyond is dropped and counted in the figures. The tables take 2.3 MB as far as they
//! are used, and the stacks 2 to 8 MB. In a forked child nothing is recorded until it starts a profiler of its own.
//!
//! What the allocator adds to an allocation and its freeing (64 bytes, an inner allocator that does nothing, Linux 6.18,
//! x86_64; `cargo xtask bench profiling`, samples included):
//!
//! | recorded | ns |
//! |---|---|
//! | nothing | below what can be told |
//! | allocations | 0.5 |
//! | memory in use, too | 0.5 to 0.8 |
//!
//! # Locks
//!
//! [`Mutex`] and [`RwLock`] are those of `parking_lot`, and add to the profile where threads wait for them:
//!
//! | sample type | unit | what |
//! |---|---|---|
//! | `lock-acquire` | count | how often a stack took a lock that was not free at once |
//! | `lock-acquire-wait` | nanoseconds | how long it waited |
//!
//! A lock that is free is taken with the one instruction that `parking_lot` needs, and nothing is noted. Of waits, a thread notes
//! one for each millisecond on average and at random, with its stack; shorter ones count for more, so that the sums are right.
//!
//! # The wall clock
//!
//! CPU time shows what a program works at, not what it waits for. With
//! [`profiling_walltime_enabled`](datadog_config::DDConfig::profiling_walltime_enabled), off by default, threads that are within
//! spans are also sampled by the clock, with the labels of other samples (Linux, where the timers of threads serve):
//!
//! | sample type | unit | what |
//! |---|---|---|
//! | `wall-time` | nanoseconds | how long a stack took, working and waiting |
//! | `wall-samples` | count | how often it was seen |
//!
//! A thread `datadog-wall` interrupts up to 8 threads at a time, 11 times a second. A sample stands for the time since the last look.
//! Of more threads it chooses at random, and each sample stands for those that were not chosen, too: the sums of `wall-time` are
//! right whatever the number. A thread without a span is never interrupted for it: a worker of an async runtime that waits for
//! something to do, a pool without work. So a future that waits for another is not seen, but what blocks its thread is. 1,024 threads
//! are followed, from their next span on; a thread whose first span finds that many is not. What cannot be interrupted, such as a read from a disk, is seen at its end, for all its time.
//!
//! An interrupted thread goes on with its system call, but not with each (man7.org: signal(7)). Some end with `EINTR`, whatever
//! `SA_RESTART` says, among them:
//!
//! - `poll`, `ppoll`, `select`, `pselect`, `epoll_wait`, `epoll_pwait`, `epoll_pwait2`, `io_getevents`, `io_uring_enter`;
//! - `nanosleep`, `clock_nanosleep`, `usleep`, and `sleep`, which returns the seconds that are left;
//! - reading, writing, `accept` and `connect` of sockets with a timeout (`SO_RCVTIMEO`, `SO_SNDTIMEO`);
//! - `pause`, `sigsuspend`, `sigtimedwait`, `sigwaitinfo`, `msgrcv`, `msgsnd`, `semop`, `semtimedop`,
//!   `sem_timedwait` and other waits on a futex with a timeout.
//!
//! The standard library tries again in `sleep`, locks, channels, `read_exact`, `write_all` and the like; but `read` of a socket with
//! a timeout returns [`Interrupted`](std::io::ErrorKind::Interrupted), and who tries again waits for the whole timeout again. So libraries
//! that read with a timeout and don't try again fail then, such as a blocking connection of the crate `redis` with a read timeout.
//! Try it with the libraries that a program calls within spans before it goes to production.
//!
//! What it costs (Linux 6.18, x86_64, 2 cores; `cargo xtask bench profiling`):
//!
//! | what | measured |
//! |---|---|
//! | 8 or more threads that wait in spans all the time | 0.33 % of a core, 37 µs for each sample |
//! | two busy threads in spans, sampled by CPU time and by the clock | 0.36 % of their CPU time; by CPU time alone 0.12 % |
//! | to enter and leave a span while it is off | nothing that can be told |
//!
//! # Crashes
//!
//! With [`crashtracking_enabled`](datadog_config::DDConfig::crashtracking_enabled), a signal that ends the program (`SIGSEGV`,
//! `SIGABRT`, `SIGBUS`, `SIGILL`, `SIGFPE`) leaves a report in a file: the signal, the registers, the calls, the thread, the
//! active span, the memory map. The handler that was there before is called afterwards, such as the standard library's, which
//! tells of stack overflows; the program ends by the same signal as without. The next start of the program names the functions,
//! if it is the same build, and sends the report to the agent, which passes it on to error tracking. It is deleted when the agent
//! has it.
//!
//! - Panics are logged with their stacks. To name the functions takes about 0.1 s for the first one of a process, which reads
//!   the debug information, and 0.3 ms for each that follows; without it, a panic that is caught takes some 10 µs. A program
//!   that panics often should leave crash tracking off.
//! - The report is written by a thread that waits for a crash. It neither allocates nor takes locks of others.
//! - The directory ([`crashtracking_directory`](datadog_config::DDConfig::crashtracking_directory)) has to outlive the process: in a
//!   container that is not restarted in place, a volume. Programs are told apart by the names of their executables.
//! - A program that handles some of these signals itself and goes on, as runtimes of WebAssembly do, has to start the client
//!   first, or what it handles is taken for a crash, and costs it some 10 ms.
//! - A stack overflow of a thread that was not made by Rust, and so has no alternate signal stack, is not reported.
//! - Spans that are open in a crash are lost, as those of a panic with `panic = "abort"` are; the report has their ids.
//! - In a forked child, nothing is reported until it starts a client of its own.
//!
//! # Files and symbols
//!
//! Each address is given with the file that it was loaded from and that file's GNU build id (on Linux), so a backend that
//! has the symbols of a stripped program can name its functions. With
//! [`profiling_output_pprof`](datadog_config::DDConfig::profiling_output_pprof) each upload is also kept as a file that
//! `pprof` and other tools read.
//!
//! # The other sampler
//!
//! With the feature `pprof`, the crate of that name samples where the timers of threads don't: on macOS and FreeBSD,
//! and on Linux if they are forbidden. Compared on Linux 6.18, x86_64, glibc 2.36:
//!
//! | | timers of threads | `pprof` |
//! |---|---|---|
//! | labels | thread's name and id, span, local root span | thread's name |
//! | share of a thread that works now and then | right within 2 points | half to 1.4 times of it: the process has one timer |
//! | code of the C library, the allocator, the loader | sampled | left out, because its unwinder can deadlock there |
//! | different lines within one function | kept apart | one, that was seen first |
//! | one sample on the interrupted thread, 30 and 100 calls deep | 4 and 5 µs, of which an empty handler takes 2.5 | 14.5 and 29 µs |
//! | what it adds to the CPU time of two busy threads, 30 calls deep | 0.1 to 0.25 % | 0.5 % |
//! | resident memory from the start on | 3.5 MB | 106 MB, 67 of them a table |
//! | after the first report, mostly debug information | 42 MB | 106 MB; 180 to 220 after a stop and a start |
//! | crates that it adds | 5 | 27 |
//!
//! `docs/benchmarks.md` says how that was measured.
//!
//! # Its limits
//!
//! - CPU time and waits for locks, unless the wall clock is wanted. Without signals, four of five stacks that wait end within the
//!   C library, because the kernel tells the registers of a thread that waits but for the frame pointer.
//! - The kernel looks at timers at its ticks, of which there are 100 to 1000 in a second. What falls between two is
//!   counted, but seen at one of them.
//! - A stack has 256 calls at most, counted from the innermost, or
//!   [`profiling_max_frames`](datadog_config::DDConfig::profiling_max_frames).
//! - Code without unwind tables ends a stack unless it keeps frame pointers: assembly, generated code. So does a
//!   library in the first 0.2 s after it was loaded.
//! - musl has no unwind tables. On x86_64 its callers are found on the stack, by the calls that lead to where it was interrupted;
//!   its own calls between are left out: a stack shows `__restore_sigs` and who called `abort`, but not `abort`. Where that call
//!   is by a register, it may be the wrong one. A stack ends where musl calls the program back, as `qsort` does, and at a
//!   signal handler. On aarch64 frame pointers are followed there.
//! - The handler uses some 14 KB of the interrupted thread's stack. Threads with very small stacks, below 32 KB, must
//!   block `SIGPROF`.
//! - `SIGPROF` must be free; profiling is off while the program has another handler for it. Stopping leaves the handler
//!   there, where it does nothing.
//! - One profiler samples at a time; the account's last error tells another one that it waits.
//! - System calls that a signal ends in spite of `SA_RESTART`, such as `poll`, `nanosleep` and reads from sockets with a
//!   timeout, may return `EINTR` to a thread that worked just before. Most of the standard library tries again; see above.
//! - A forked child is not sampled, unless it starts a client of its own.
//! - 1,024 threads have their own timer; that of the process stands in for the rest.
//! - A seccomp filter that ends the process must allow `timer_create`, `timer_settime`, `timer_delete`, `gettid`, `prctl`,
//!   `process_vm_readv`, and `rt_tgsigqueueinfo` with the wall clock. One that only refuses them is noticed at the start.
//! - In a library that is loaded by `dlopen`, thread-local variables may be allocated at first use, thus by the handler:
//!   link this crate into the program.
//! - Names come from the program's symbols: `debug = 1` gives qualified names, files, lines and inlined calls;
//!   `debug = "line-tables-only"` unqualified names; `debug = 0` no files and lines. The profile of a stripped
//!   program (`strip = true`) has addresses and build ids only.
//! - Naming functions can't be cut short: the first flush or shutdown of a program with large debug information
//!   can take seconds on the worker, and then report that it did not complete.
//!
//! Those of the feature `pprof`, where it serves:
//!
//! - With musl it doesn't start, and the account's last error says so: it would find no calls (tikv/pprof-rs issues 32, 110).
//! - It needs a writable directory for temporary files, and leaves an empty one behind for each process that was sampled.
//! - Two *versions* of the pprof crate in one program don't link. While another one runs, this one waits.
//! - Stopping leaves `SIGPROF` ignored. A program that replaces itself by `exec` has to stop sampling before, or the
//!   timer ends its successor.

mod allocation;
mod callers;
mod counted;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod crash;
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "no_crash.rs"]
mod crash;
mod encode;
mod lock;
mod lock_waits;
mod modules;
mod output;
mod owner;
mod panics;
#[cfg(feature = "pprof")]
mod pprof_sampler;
mod profiler;
mod protobuf;
mod receiver;
mod recordings;
mod sample;
mod sampler;
mod sink;
mod symbol;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod timer;
mod timestamp;
mod upload;

pub use allocation::{AllocationFigures, ProfiledAllocator, allocation_figures};
pub use lock::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use profiler::Profiler;

// What a program that uses this crate alone has to name.
pub use datadog_config::{ConfigError, DDConfig, DDConfigBuilder, ProfilingEnabled};
pub use datadog_transport::{FlushReport, Health, Standalone, TransportError};
