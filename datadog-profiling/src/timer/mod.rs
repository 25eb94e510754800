//! The sampler of Linux: a timer for the CPU time of each thread interrupts it, and the handler notes its calls.
//!
//! | file | role |
//! |---|---|
//! | `threads` | starts and ends the timers, as threads begin and end |
//! | `sys` | the system calls |
//! | `signal` | the signal, and the handler's way in |
//! | `engine` | what the handler does |
//! | `unwind`, `modules` | from the interrupted instruction to its callers, by the unwind tables of what is loaded |
//! | `untold` | the same for code that has no such tables |
//! | `stack`, `bounds` | reads the interrupted stack; where it is |
//! | `wall` | interrupts threads by the clock, as far as that is wanted |
//! | `bell` | calls for a timer when the handler finds a thread without one |
//! | `ring` | from the handler to the worker |
//!
//! The handler allocates nothing and waits for nothing: it can interrupt the allocator, the dynamic loader, or
//! itself on another thread. It reads only what it knows to be the thread's stack, and copies all else by a
//! system call, which fails where an unwind table is wrong and the stack is not where it says. A thread of its own looks after all the rest.

pub(crate) mod bell;
mod bounds;
mod engine;
mod modules;
pub(crate) mod ring;
mod sampler;
pub(crate) mod signal;
mod stack;
#[cfg(test)]
mod stress;
pub(crate) mod sys;
mod threads;
mod untold;
pub(crate) mod unwind;
mod wall;

pub(crate) use sampler::TimerSampler;
