//! The samplers that are compared.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_local_agent::{Label, LocalAgent};
use datadog_profiling::Profiler;
use datadog_transport::Standalone;
use pprof::ProfilerGuard;

const SOON: Duration = Duration::from_secs(60);

/// How often each samples in a second of CPU time.
pub(crate) const SAMPLES_PER_SECOND: i32 = 99;

pub(crate) const OURS: &str = "datadog-profiling";
/// The same, with time by the wall clock.
pub(crate) const WALL: &str = "datadog-profiling, wall clock";
pub(crate) const NONE: &str = "none";

/// How the names of pprof's three ways to find callers begin. The one that was built in is used.
pub(crate) const PPROF: &str = "pprof";

/// One of them, at work.
pub(crate) enum Sampler {
    Ours(Standalone<Profiler>, LocalAgent),
    Pprof(ProfilerGuard<'static>),
    None,
}

impl Sampler {
    pub(crate) fn start(name: &str) -> Self {
        match name {
            OURS | WALL => {
                let agent = LocalAgent::start().unwrap();
                let config = DDConfig::builder()
                    .environment([("", "")])
                    .agent_url(agent.url())
                    .profiling_upload_period(Duration::from_secs(600))
                    .profiling_walltime_enabled(name == WALL)
                    .build()
                    .unwrap();
                let profiler = Profiler::start(&config).unwrap();
                profiler.start_sampling();
                let limit = Instant::now() + SOON;
                while !profiler.is_sampling() {
                    assert!(Instant::now() < limit, "{:?}", profiler.health());
                    std::thread::yield_now();
                }
                Self::Ours(profiler, agent)
            }
            name if name.starts_with(PPROF) => {
                Self::Pprof(ProfilerGuard::new(SAMPLES_PER_SECOND).unwrap())
            }
            _ => Self::None,
        }
    }

    /// Makes a profile of the samples so far: ours is sent, too.
    pub(crate) fn make_profile(&self) {
        match self {
            Self::Ours(profiler, agent) => {
                agent.clear();
                assert_eq!(profiler.flush(SOON).delivered, 1);
            }
            Self::Pprof(guard) => drop(guard.report().build().unwrap()),
            Self::None => (),
        }
    }

    /// The samples so far, by the thread's name.
    pub(crate) fn report(&self) -> HashMap<String, u64> {
        let mut threads = HashMap::new();
        match self {
            Self::Ours(_, agent) => {
                self.make_profile();
                let profiles = agent.profiles();
                let samples = profiles[0].pprof().unwrap();
                let by_thread = samples.sum_by_label("cpu-samples", "thread name").unwrap();
                for (label, count) in by_thread {
                    if let Label::Text(name) = label {
                        threads.insert(name.to_string(), count as u64);
                    }
                }
            }
            Self::Pprof(guard) => {
                for (frames, count) in guard.report().build().unwrap().data {
                    *threads.entry(frames.thread_name).or_default() += count as u64;
                }
            }
            Self::None => (),
        }
        threads
    }
}
