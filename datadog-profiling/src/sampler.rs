//! Which sampler serves here.

use datadog_config::DDConfig;

use crate::sample::{Sample, Sampler};

/// The first of the compiled-in samplers that the system lets work: the timers of threads, then `pprof`.
pub(crate) struct FirstThatWorks {
    all: Vec<Box<dyn Sampler>>,
    /// The one that was started.
    chosen: usize,
    /// Whether samples by the wall clock are wanted.
    by_the_clock: bool,
}

impl FirstThatWorks {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            all: vec![
                #[cfg(all(
                    target_os = "linux",
                    any(target_arch = "x86_64", target_arch = "aarch64")
                ))]
                Box::new(crate::timer::TimerSampler::new(config)),
                #[cfg(feature = "pprof")]
                Box::new(crate::pprof_sampler::PprofSampler::default()),
            ],
            chosen: 0,
            by_the_clock: config.profiling_walltime_enabled(),
        }
    }
}

impl Sampler for FirstThatWorks {
    fn start(&mut self) -> Result<(), String> {
        let mut reasons = Vec::new();
        for (index, sampler) in self.all.iter_mut().enumerate() {
            match sampler.start() {
                Ok(()) => {
                    if self.by_the_clock && !sampler.knows_the_clock() {
                        log::warn!(
                            target: "datadog",
                            "DD_PROFILING_WALLTIME_ENABLED has no effect: by the clock only the timers of threads on Linux sample"
                        );
                    }
                    self.chosen = index;
                    return Ok(());
                }
                Err(reason) => reasons.push(reason),
            }
        }
        if reasons.is_empty() {
            reasons.push("this system needs the feature `pprof`".to_owned());
        }
        Err(format!("profiling is off because {}", reasons.join("; ")))
    }

    fn drain(&mut self, take: &mut dyn FnMut(Sample<'_>)) -> Result<(), String> {
        match self.all.get_mut(self.chosen) {
            Some(sampler) => sampler.drain(take),
            None => Ok(()),
        }
    }

    fn stop(&mut self) {
        if let Some(sampler) = self.all.get_mut(self.chosen) {
            sampler.stop();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use parking_lot::{Mutex, MutexGuard};

    use super::*;

    /// There is one signal for all samplers of a process, so the tests of the real ones take turns.
    pub(crate) fn turn() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock()
    }

    struct Fake(Result<(), String>);

    impl Sampler for Fake {
        fn start(&mut self) -> Result<(), String> {
            self.0.clone()
        }

        fn drain(&mut self, take: &mut dyn FnMut(Sample<'_>)) -> Result<(), String> {
            take(Sample::default());
            self.0.clone()
        }

        fn stop(&mut self) {}
    }

    fn of(results: &[Result<(), String>]) -> FirstThatWorks {
        FirstThatWorks {
            all: results
                .iter()
                .map(|result| Box::new(Fake(result.clone())) as Box<dyn Sampler>)
                .collect(),
            chosen: 0,
            by_the_clock: false,
        }
    }

    #[test]
    fn the_next_one_stands_in_for_one_that_is_forbidden() {
        let mut sampler = of(&[Err("no timers".to_owned()), Ok(())]);
        assert_eq!(sampler.start(), Ok(()));
        assert_eq!(sampler.drain(&mut |_| ()), Ok(()));
    }

    #[test]
    fn where_none_works_all_reasons_are_told() {
        let refused = of(&[Err("no timers".to_owned()), Err("no files".to_owned())]).start();
        let told = "profiling is off because no timers; no files";
        assert_eq!(refused.unwrap_err(), told);
        assert!(of(&[]).start().unwrap_err().contains("`pprof`"));
    }
}
