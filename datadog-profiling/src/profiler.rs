//! The callers' half: a switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use datadog_config::{DDConfig, ProfilingEnabled};
use datadog_transport::profiled;
use datadog_transport::{SignalKind, Standalone, TransportBuilder, TransportError, Waker};

use crate::crash;
use crate::receiver::Receiver;
use crate::sample::Sampler;
use crate::sampler::FirstThatWorks;
use crate::sink::ProfileSink;

/// The CPU profiler's switch. Cheap to clone; clones switch the same profiler.
///
/// Nothing of it runs on the caller's thread: the worker starts and stops the sampling, names the functions and
/// uploads. What goes wrong there is told in the account of [`SignalKind::Profiles`].
#[derive(Clone, Debug)]
pub struct Profiler {
    switch: Arc<Switch>,
    waker: Waker,
}

/// What callers want and what the worker made of it.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    /// Whether the program is to be sampled: [`OFF`], [`AUTO`] or [`ON`].
    wanted: AtomicU8,
    /// Whether a start was asked for that was not tried yet.
    untried: AtomicBool,
    /// Whether the program is being sampled.
    running: AtomicBool,
}

const OFF: u8 = 0;
/// As soon as that is worth it.
const AUTO: u8 = 1;
const ON: u8 = 2;

impl Profiler {
    /// Starts a profiler with a worker of its own, for a program that uses this crate alone. It samples from the
    /// start where [`DDConfig::profiling_enabled`] says so, or when it is worth it, else from [`Profiler::start_sampling`] on.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn start(config: &DDConfig) -> Result<Standalone<Self>, TransportError> {
        Standalone::start(config, Self::join)
    }

    /// Adds the profiles signal to a client that is being put together. Where profiles are to go to the intake, but there
    /// is neither an API key nor a URL of an intake, they are counted as dropped.
    ///
    /// # Errors
    ///
    /// [`TransportError::TlsMissing`] for an `https` agent or intake without the feature `tls`.
    pub fn join(transport: &mut TransportBuilder) -> Result<Self, TransportError> {
        let sampler = FirstThatWorks::new(transport.config());
        Self::join_with(transport, Box::new(sampler))
    }

    pub(crate) fn join_with(
        transport: &mut TransportBuilder,
        sampler: Box<dyn Sampler>,
    ) -> Result<Self, TransportError> {
        let config = transport.config().clone();
        let receiver = Receiver::of(transport)?;
        let crashes = crash::Starter::of(transport)?;
        let profiler = transport.add(SignalKind::Profiles, |seat| {
            let switch = Arc::new(Switch::default());
            let crashes = crashes.and_then(|starter| starter.start(&config, &seat));
            let sink = ProfileSink::new(
                &config,
                receiver,
                seat.account,
                Arc::clone(&switch),
                sampler,
            );
            let sink = sink.with_crash_reports(crashes);
            let waker = seat.waker;
            (sink, Self { switch, waker })
        });
        match config.profiling_enabled() {
            ProfilingEnabled::On => profiler.start_sampling(),
            ProfilingEnabled::Auto => {
                profiled::await_span();
                profiler.switch.begin_when_worth_it();
                profiler.waker.wake();
            }
            _ => (),
        }
        Ok(profiler)
    }

    /// Asks the worker to sample the program. Nothing changes if it does already. It begins within a second; a flush
    /// returns after that, so a short program that wants to miss nothing may flush right away.
    ///
    /// Where that is impossible, as while another profiler of the process runs, the account's last error says why, and
    /// it is tried again at each end of an upload period.
    pub fn start_sampling(&self) {
        self.switch.begin();
        self.waker.wake();
    }

    /// Asks the worker to end the sampling. What was found is uploaded at the end of the upload period, by a flush
    /// or at the shutdown.
    pub fn stop_sampling(&self) {
        self.switch.end();
        self.waker.wake();
    }

    /// Whether the program is being sampled now.
    pub fn is_sampling(&self) -> bool {
        self.switch.running.load(Ordering::Relaxed)
    }
}

impl Switch {
    /// Asks for a start.
    pub(crate) fn begin(&self) {
        self.wanted.store(ON, Ordering::Relaxed);
        self.ask_again();
    }

    pub(crate) fn begin_when_worth_it(&self) {
        self.wanted.store(AUTO, Ordering::Relaxed);
    }

    /// Asks for a start that is worth it now, unless the program decided by itself since.
    pub(crate) fn begin_automatically(&self) {
        let begun = self
            .wanted
            .compare_exchange(AUTO, ON, Ordering::Relaxed, Ordering::Relaxed);
        if begun.is_ok() {
            self.ask_again();
        }
    }

    fn end(&self) {
        self.wanted.store(OFF, Ordering::Relaxed);
    }

    /// Whether to begin as soon as it is worth it.
    pub(crate) fn is_automatic(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) == AUTO
    }

    pub(crate) fn is_on(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) == ON
    }

    /// Lets the next [`Switch::take_start`] try to start.
    pub(crate) fn ask_again(&self) {
        self.untried.store(true, Ordering::Release);
    }

    /// Whether to try to start: once for each time that it was asked for.
    pub(crate) fn take_start(&self) -> bool {
        self.untried.swap(false, Ordering::AcqRel) && self.is_on()
    }

    pub(crate) fn report_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_says_wins_over_a_start_by_itself() {
        let switch = Switch::default();
        switch.begin_when_worth_it();
        assert!(switch.is_automatic());
        // The worker found that it is worth it, and then the program spoke.
        switch.end();
        switch.begin_automatically();
        assert!(!switch.is_on() && !switch.is_automatic() && !switch.take_start());
        switch.begin();
        assert!(switch.take_start());

        let switch = Switch::default();
        switch.begin_when_worth_it();
        switch.begin_automatically();
        assert!(switch.is_on() && !switch.is_automatic() && switch.take_start());
        switch.end();
        assert!(!switch.is_on());
    }
}
