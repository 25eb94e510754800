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
//! sampled from the start. A profile is uploaded to the agent every
//! [`profiling_upload_period`](datadog_config::DDConfig::profiling_upload_period), at each flush and at the
//! shutdown, or without an agent to the intake, where
//! [`profiling_agentless`](datadog_config::DDConfig::profiling_agentless) says so; one in which nothing was sampled is not. Its samples carry the thread's name; its tags name the
//! service, the process and the `runtime-id` that the tracer's spans carry too.
//!
//! # How it works
//!
//! The `pprof` crate interrupts the program 99 times in each second of its CPU time (`SIGPROF`) and notes the
//! stack of the thread that runs. Everything else is the worker's: starting, naming the functions, packing,
//! uploading. A caller of [`Profiler`] only flips a switch.
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
//! # What it costs
//!
//! Nothing while it is off, but for the allocator. While it is on, measured on Linux 6.18, x86_64, glibc 2.36, 2 virtual cores, with a
//! program of 24 MB, most of it debug information:
//!
//! | what | cost |
//! |---|---|
//! | one sample, 30 calls deep | 11 µs on the interrupted thread: 0.1 % of a busy core |
//! | start | 0.15 s of the worker's CPU time in a release build, 0.5 s in a debug build |
//! | resident memory from the start on | 100 to 140 MB: 67 MB pprof's table, the rest debug information |
//! | the same after the first stop | 180 to 220 MB: pprof makes a new table before it frees the old one |
//! | an upload of 1,000 different stacks | 25 to 85 ms of the worker's CPU time, 10 KB to the agent |
//!
//! # Its limits
//!
//! - It runs where pprof does: Linux, macOS and FreeBSD, with a writable directory for temporary files. Only
//!   Linux with glibc is tested. With musl the stacks are of little use (tikv/pprof-rs issues 32, 110).
//! - One pprof profiler a process: while another one runs, this one waits, and the account's last error says so.
//!   Two *versions* of the pprof crate in one program don't link.
//! - Samples that interrupt the C library, the dynamic loader or the kernel are left out, because unwinding from
//!   there can deadlock; so the time of system calls, of `memcpy` and of the allocator is missing.
//! - CPU time alone, without waiting. The timer is the process's, not the thread's: threads that run seldom can
//!   be off by half, and under contention the sum can be.
//! - Different places within one function count as one, at the line that was seen first. A stack has 128 calls
//!   at most, counted from the innermost.
//! - Names come from the program's symbols: `debug = 1` gives qualified names, files, lines and inlined calls;
//!   `debug = "line-tables-only"` unqualified names; `debug = 0` no files and lines. The profile of a stripped
//!   program (`strip = true`) has addresses only, and is of no use.
//! - pprof leaves one empty temporary file behind for each process that was sampled.
//! - `SIGPROF` must be free. Stopping leaves it ignored. A program that replaces itself by `exec` has to stop
//!   sampling before, or the timer ends its successor.
//! - Naming functions can't be cut short: the first flush or shutdown of a program with large debug information
//!   can take seconds on the worker, and then report that it did not complete.

mod allocation;
mod callers;
mod counted;
mod encode;
mod owner;
mod panics;
mod pprof_sampler;
mod profiler;
mod protobuf;
mod receiver;
mod recordings;
mod sample;
mod sink;
mod symbol;
mod timestamp;
mod upload;

pub use allocation::{AllocationFigures, ProfiledAllocator, allocation_figures};
pub use profiler::Profiler;

// What a program that uses this crate alone has to name.
pub use datadog_config::{ConfigError, DDConfig, DDConfigBuilder};
pub use datadog_transport::{FlushReport, Health, Standalone, TransportError};
