//! The worker's half: starts and stops the sampler, and uploads what it found.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use datadog_config::DDConfig;
use datadog_transport::profiled::{self, Wishes};
use datadog_transport::{Account, DropReason, Occasion, Outbox, Pass, Signal};

use crate::counted::Counted;
use crate::crash::CrashReports;
use crate::encode::encode;
use crate::modules::Modules;
use crate::output::Output;
use crate::profiler::Switch;
use crate::receiver::Receiver;
use crate::recordings::Recordings;
use crate::sample::{Profile, Sample, Sampler, Samples, SpanIds};
use crate::symbol::Symbols;
use crate::upload::Uploads;

/// The most bytes of uploads that wait for the receiver. One has some 10 to 500 KB.
const OUTBOX_BYTES: usize = 8 << 20;

/// How long a process runs before it is profiled automatically (dd-trace-js: `profiling/ssi-heuristics.js`).
const LONG_LIVED: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });

/// How often such a one is looked at after that.
const LOOK_AROUND: Duration = Duration::from_secs(5);

pub(crate) struct ProfileSink {
    /// `None` where there is nowhere to send to.
    receiver: Option<Receiver>,
    account: Arc<Account>,
    switch: Arc<Switch>,
    sampler: Box<dyn Sampler>,
    running: bool,
    samples: Samples,
    /// Whether they carry the ids of spans.
    hotspots: bool,
    wishes: Wishes,
    /// Of a stack.
    most_calls: usize,
    recordings: Recordings,
    counted: Vec<Counted>,
    period: Duration,
    period_start: SystemTime,
    period_end: Instant,
    /// From when on the process is a long-lived one.
    long_lived: Instant,
    symbols: Symbols,
    modules: Modules,
    output: Output,
    uploads: Uploads,
    upload_limit: Duration,
    outbox: Outbox,
    crashes: Option<CrashReports>,
}

impl ProfileSink {
    pub(crate) fn new(
        config: &DDConfig,
        receiver: Option<Receiver>,
        account: Arc<Account>,
        switch: Arc<Switch>,
        sampler: Box<dyn Sampler>,
    ) -> Self {
        let period = config.profiling_upload_period();
        Self {
            receiver,
            account: Arc::clone(&account),
            switch,
            sampler,
            running: false,
            samples: Samples::default(),
            hotspots: config.profiling_code_hotspots_enabled(),
            wishes: Wishes {
                endpoints: config.profiling_endpoint_collection_enabled(),
                endpoint_counts: config.profiling_endpoint_count_enabled(),
            },
            most_calls: config.profiling_max_frames(),
            recordings: Recordings::new(config),
            counted: Vec::new(),
            period,
            period_start: SystemTime::now(),
            period_end: Instant::now() + period,
            long_lived: Instant::now() + LONG_LIVED,
            symbols: Symbols::default(),
            modules: Modules::default(),
            output: Output::new(config),
            uploads: Uploads::new(config),
            upload_limit: config.profiling_upload_timeout(),
            outbox: Outbox::new(OUTBOX_BYTES, account),
            crashes: None,
        }
    }

    /// Lets it send reports of crashes, too.
    pub(crate) fn with_crash_reports(self, crashes: Option<CrashReports>) -> Self {
        Self { crashes, ..self }
    }

    /// Asks for a start when that is worth it. Returns when to look again.
    fn start_automatically(&self) -> Option<Instant> {
        if !self.switch.is_automatic() {
            return None;
        }
        let again = not_yet(Instant::now(), self.long_lived, profiled::span_came());
        if again.is_none() {
            self.switch.begin_automatically();
        }
        again
    }

    fn follow_switch(&mut self) {
        if self.running && !self.switch.is_on() {
            self.collect();
            self.stop();
        } else if !self.running && self.switch.take_start() {
            self.start();
        }
    }

    fn start(&mut self) {
        if self.samples.is_empty() && self.counted.is_empty() {
            self.open_period();
        }
        if let Err(error) = self.sampler.start() {
            return self.report(error);
        }
        if let Err(error) = self.recordings.start() {
            self.report(error);
        }
        profiled::start(self.wishes);
        self.report_running(true);
    }

    fn stop(&mut self) {
        profiled::stop();
        self.sampler.stop();
        self.recordings.stop();
        self.report_running(false);
    }

    fn report_running(&mut self, running: bool) {
        self.running = running;
        self.switch.report_running(running);
    }

    /// Takes over what the sampler and the recordings found.
    fn collect(&mut self) {
        self.recordings.drain(&mut self.counted);
        for counted in &mut self.counted {
            let kept = |span: SpanIds| span.kept(self.hotspots, self.wishes.endpoints);
            counted.span = counted.span.and_then(kept);
        }
        let (samples, most_calls) = (&mut self.samples, self.most_calls);
        let (hotspots, endpoints) = (self.hotspots, self.wishes.endpoints);
        let mut take = |mut sample: Sample<'_>| {
            sample.span = sample.span.and_then(|span| span.kept(hotspots, endpoints));
            sample.stack = &sample.stack[..sample.stack.len().min(most_calls)];
            samples.add(sample);
        };
        if let Err(error) = self.sampler.drain(&mut take) {
            self.report(error);
            // It may have stopped itself. The end of the period starts it again.
            self.stop();
        }
    }

    fn open_period(&mut self) -> SystemTime {
        self.period_end = Instant::now() + self.period;
        mem::replace(&mut self.period_start, SystemTime::now())
    }

    /// Makes an upload of what was found in this period, if anything was, and begins the next one.
    fn close_period(&mut self) {
        if self.running {
            self.collect();
        }
        let samples = mem::take(&mut self.samples);
        let counted = mem::take(&mut self.counted);
        let start = self.open_period();
        let end = self.period_start.max(start);
        if !samples.is_empty() || !counted.is_empty() {
            let others = counted.iter().filter_map(|counted| counted.span);
            let roots = samples.spans().chain(others).map(|span| span.local_root);
            let endpoints = profiled::take_endpoints(roots.collect::<HashSet<_>>());
            if endpoints.left_out > 0 {
                log::warn!(target: "datadog", "profiling: the endpoints of {} requests are not in the profile, there were too many", endpoints.left_out);
            }
            self.upload(Profile {
                samples,
                counted,
                endpoints,
                start,
                end,
            });
        }
    }

    fn upload(&mut self, mut profile: Profile) {
        self.account.accept(1);
        if self.receiver.is_none() && !self.output.is_wanted() {
            return self.account.drop_items(DropReason::NoReceiver, 1);
        }
        for counted in &mut profile.counted {
            counted.keep_program(&mut self.symbols);
            counted.keep_inner(self.most_calls);
        }
        let pprof = encode(&profile, &mut self.symbols, &self.modules.loaded());
        if let Err(error) = self.output.write(&pprof) {
            self.report(format!("can't write a profile to a file: {error}"));
        }
        if self.receiver.is_none() {
            return self.account.drop_items(DropReason::NoReceiver, 1);
        }
        match self.uploads.next(&profile, &pprof) {
            Ok(payload) => self.outbox.push(payload),
            Err(error) => {
                self.account.drop_items(DropReason::Invalid, 1);
                self.report(format!("can't pack a profile: {error}"));
            }
        }
    }

    fn report(&self, error: String) {
        log::warn!(target: "datadog", "profiling: {error}");
        self.account.error(error);
    }
}

/// When to look again whether to begin automatically; `None` where it is worth it now.
fn not_yet(now: Instant, long_lived: Instant, span_came: bool) -> Option<Instant> {
    if now < long_lived {
        Some(long_lived)
    } else if !span_came {
        Some(now + LOOK_AROUND)
    } else {
        None
    }
}

impl Signal for ProfileSink {
    fn period(&self) -> Duration {
        self.period
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        let period_over = pass.occasion != Occasion::Due || Instant::now() >= self.period_end;
        if period_over {
            // A start that failed is tried again.
            self.switch.ask_again();
        }
        let mut look_again = None;
        if pass.occasion != Occasion::Shutdown {
            look_again = self.start_automatically();
            self.follow_switch();
        }
        if period_over {
            self.close_period();
        }
        let again = self.receiver.as_ref().and_then(|receiver| {
            self.outbox
                .deliver(pass, self.upload_limit, |payload, limit| {
                    receiver.post(payload, limit)
                })
        });
        let crashes = self.crashes.as_mut();
        let symbols = (&mut self.symbols, &mut self.modules);
        let crash_again = crashes.and_then(|crashes| crashes.run(pass, symbols.0, symbols.1));
        // A wake-up by the switch must not put off the end of the period.
        let times = [Some(self.period_end), look_again, again, crash_again];
        times.into_iter().flatten().min()
    }

    fn close(&mut self) {
        if self.running {
            self.stop();
        }
        self.outbox.close();
        if let Some(crashes) = &mut self.crashes {
            crashes.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use datadog_config::ProfilingEnabled;
    use datadog_local_agent::{Endpoint, Fault, LocalAgent};
    use datadog_transport::{SignalHealth, SignalKind, Standalone};

    use super::*;
    use crate::profiler::Profiler;
    use crate::sample::Sample;

    const SOON: Duration = Duration::from_secs(20);

    /// Finds one stack at each drain while it runs.
    #[derive(Default)]
    struct Fake {
        running: bool,
        failures: usize,
        starts: Arc<AtomicUsize>,
    }

    impl Sampler for Fake {
        fn start(&mut self) -> Result<(), String> {
            self.starts.fetch_add(1, Ordering::Relaxed);
            if self.failures > 0 {
                self.failures -= 1;
                return Err("not now".to_owned());
            }
            self.running = true;
            Ok(())
        }

        fn drain(&mut self, take: &mut dyn FnMut(Sample<'_>)) -> Result<(), String> {
            assert!(self.running);
            take(Sample {
                stack: &[16, 32],
                thread: "worker-1",
                count: 5,
                ..Sample::default()
            });
            Ok(())
        }

        fn stop(&mut self) {
            self.running = false;
        }
    }

    fn config(url: &str) -> datadog_config::DDConfigBuilder {
        DDConfig::builder()
            .environment([("", "")])
            .service("shop")
            .agent_url(url)
            // There is one recording a process, and a test of its own for it.
            .profiling_allocation_enabled(false)
            .profiling_upload_period(Duration::from_secs(600))
    }

    fn start(config: &DDConfig, fake: Fake) -> Standalone<Profiler> {
        Standalone::start(config, |transport| {
            Profiler::join_with(transport, Box::new(fake))
        })
        .unwrap()
    }

    fn health(profiler: &Standalone<Profiler>) -> SignalHealth {
        let health = profiler.health().signal(SignalKind::Profiles);
        assert_eq!(
            health.accepted,
            health.delivered + health.dropped.total() + health.buffered,
            "{health:?}"
        );
        health
    }

    #[test]
    fn it_begins_by_itself_when_that_is_worth_it() {
        let now = Instant::now();
        let later = now + LONG_LIVED;
        assert_eq!(not_yet(now, later, true), Some(later));
        assert_eq!(not_yet(later, later, false), Some(later + LOOK_AROUND));
        assert_eq!(not_yet(later, later, true), None);

        let agent = LocalAgent::start().unwrap();
        let config = config(&agent.url()).profiling_enabled(ProfilingEnabled::Auto);
        let config = config.build().unwrap();
        let profiler = start(&config, Fake::default());
        assert!(!profiler.is_sampling());
        // As the tracer does.
        profiled::started();
        let limit = Instant::now() + SOON;
        while !profiler.is_sampling() {
            assert!(Instant::now() < limit);
            std::thread::yield_now();
        }
        profiler.flush(SOON);
        let event = &agent.profiles()[0].event;
        assert_eq!(event.other["info"]["profiler"]["activation"], "auto");
        drop(profiler);

        let profiler = start(&config, Fake::default());
        profiler.stop_sampling();
        std::thread::sleep(LONG_LIVED * 2);
        assert!(!profiler.is_sampling(), "the program says no");
    }

    #[test]
    fn stacks_are_as_deep_as_the_config_says() {
        let agent = LocalAgent::start().unwrap();
        for (most, found) in [(1, 1), (2, 2), (1000, 2)] {
            let config = config(&agent.url()).profiling_max_frames(most);
            let profiler = start(&config.build().unwrap(), Fake::default());
            profiler.start_sampling();
            profiler.flush(SOON);
            let profiles = agent.profiles();
            let pprof = profiles[0].pprof().unwrap();
            let depths: Vec<_> = pprof.samples.iter().map(|own| own.stack.len()).collect();
            assert_eq!(depths, [found], "{most}");
            drop(profiler);
            agent.clear();
        }
    }

    #[test]
    fn an_upload_says_what_it_is_of() {
        let agent = LocalAgent::start().unwrap();
        let config = config(&agent.url())
            .env("test")
            .version("1.2")
            .hostname("box")
            .tags([
                ("team", "a,b"),
                ("empty", ""),
                ("git.repository_url", "https://example.org/other"),
            ])
            .profiling_tags([("flavour", "sweet")])
            .git_commit_sha("0123abcd")
            .git_repository_url("https://somebody@example.org/shop")
            .build()
            .unwrap();
        let before = SystemTime::now();
        let profiler = start(&config, Fake::default());
        profiler.start_sampling();
        assert_eq!(profiler.flush(SOON).delivered, 1);
        assert_eq!(profiler.flush(SOON).delivered, 1);
        let profiles = agent.profiles();
        assert_eq!(agent.refusals().len(), 0, "{:?}", agent.refusals());
        let event = &profiles[1].event;
        for (key, value) in [
            ("service", "shop"),
            ("env", "test"),
            ("version", "1.2"),
            ("host", "box"),
            ("language", "native"),
            ("runtime-id", config.runtime_id()),
            ("process_id", &std::process::id().to_string()),
            ("profile_seq", "1"),
            ("profiler_version", env!("CARGO_PKG_VERSION")),
            ("cpu_arch", std::env::consts::ARCH),
            ("runtime_platform", datadog_transport::TARGET),
            ("git.commit.sha", "0123abcd"),
            ("git.repository_url", "https://example.org/shop"),
            ("team", "a_b"),
            ("flavour", "sweet"),
        ] {
            assert_eq!(event.tag(key), Some(value), "{key}");
        }
        assert_eq!(event.tag("empty"), None);
        let repositories = event.tags.iter();
        let repositories = repositories.filter(|tag| tag.starts_with("git.repository_url:"));
        assert_eq!(repositories.count(), 1);
        assert_eq!(event.family, "native");
        assert_eq!(event.process_tags, config.process_tags().unwrap());
        let info = &event.other["info"]["profiler"];
        assert_eq!(info["activation"], "manual");
        assert_eq!(info["ssi"]["mechanism"], "none");
        assert_eq!(info["settings"]["DD_PROFILING_UPLOAD_PERIOD"], "600");
        assert!(event.start_ns >= crate::encode::unix_nanos(before) as i64);
        assert_eq!(event.start_ns, profiles[0].event.end_ns, "no gap");
        let pprof = profiles[1].pprof().unwrap();
        assert_eq!(pprof.time_ns, event.start_ns);
        assert_eq!(pprof.duration_ns, event.end_ns - event.start_ns);
        assert_eq!(pprof.sum("cpu-samples"), Some(5));
        assert_eq!(profiles[1].attachments[0].name, "profile.pprof");
    }

    #[test]
    fn uploads_at_the_end_of_each_period_and_at_the_end() {
        let agent = LocalAgent::start().unwrap();
        let config = config(&agent.url())
            .profiling_upload_period(Duration::from_millis(50))
            .profiling_enabled(true)
            .build()
            .unwrap();
        let profiler = start(&config, Fake::default());
        agent
            .wait_for(SOON, |got| got.profiles().len() >= 3)
            .unwrap();
        profiler.shutdown(SOON);
        let health = health(&profiler);
        assert_eq!(health.delivered, agent.profiles().len() as u64);
        assert_eq!((health.buffered, health.dropped.total()), (0, 0));
        profiler.start_sampling();
        assert!(!profiler.is_sampling());
    }

    #[test]
    fn a_start_that_fails_is_told_and_tried_again() {
        let agent = LocalAgent::start().unwrap();
        let starts = Arc::new(AtomicUsize::new(0));
        let fake = Fake {
            failures: 2,
            starts: Arc::clone(&starts),
            ..Fake::default()
        };
        let profiler = start(&config(&agent.url()).build().unwrap(), fake);
        profiler.flush(SOON);
        assert_eq!(starts.load(Ordering::Relaxed), 0, "nobody asked for it");
        profiler.start_sampling();
        while health(&profiler).last_error.is_none() {
            std::thread::yield_now();
        }
        assert!(!profiler.is_sampling());
        assert_eq!(profiler.flush(SOON).delivered, 0);
        assert_eq!(starts.load(Ordering::Relaxed), 2);
        assert_eq!(profiler.flush(SOON).delivered, 1);
        assert!(profiler.is_sampling());
        let error = health(&profiler).last_error.unwrap();
        assert_eq!(error.message, "not now");
    }

    #[test]
    fn starting_twice_is_once_and_stopping_keeps_what_was_found() {
        let agent = LocalAgent::start().unwrap();
        let starts = Arc::new(AtomicUsize::new(0));
        let fake = Fake {
            starts: Arc::clone(&starts),
            ..Fake::default()
        };
        let profiler = start(&config(&agent.url()).build().unwrap(), fake);
        profiler.start_sampling();
        while !profiler.is_sampling() {
            std::thread::yield_now();
        }
        profiler.start_sampling();
        profiler.stop_sampling();
        while profiler.is_sampling() {
            std::thread::yield_now();
        }
        assert_eq!(starts.load(Ordering::Relaxed), 1);
        assert_eq!(agent.profiles().len(), 0);
        assert_eq!(profiler.flush(SOON).delivered, 1);
        assert_eq!(profiler.flush(SOON).delivered, 0, "nothing new was found");
        profiler.start_sampling();
        assert_eq!(profiler.flush(SOON).delivered, 1);
        assert_eq!(starts.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn without_an_agent_profiles_are_dropped_and_counted() {
        let agent = LocalAgent::start().unwrap();
        agent.stop_listening().unwrap();
        let config = config(&agent.url())
            .profiling_enabled(true)
            .build()
            .unwrap();
        let profiler = start(&config, Fake::default());
        assert_eq!(profiler.flush(SOON).buffered, 1);
        profiler.shutdown(SOON);
        let health = health(&profiler);
        assert_eq!((health.accepted, health.delivered), (2, 0));
        assert_eq!(health.dropped.get(DropReason::Shutdown), 2);
        assert!(health.last_error.is_some());
    }

    #[test]
    fn a_refused_profile_is_dropped_and_a_busy_agent_gets_it_later() {
        let agent = LocalAgent::start().unwrap();
        agent.fail_next(1, Endpoint::Profiles, Fault::Status(400));
        agent.fail_next(1, Endpoint::Profiles, Fault::Status(503));
        let config = config(&agent.url())
            .profiling_enabled(true)
            .build()
            .unwrap();
        let profiler = start(&config, Fake::default());
        let refused = profiler.flush(SOON);
        assert_eq!(refused.dropped.get(DropReason::Refused(400)), 1);
        assert_eq!(profiler.flush(SOON).buffered, 1);
        agent
            .wait_for(SOON, |got| got.profiles().len() == 1)
            .unwrap();
        profiler.shutdown(SOON);
        let health = health(&profiler);
        assert_eq!((health.accepted, health.delivered), (3, 2));
        assert!(health.retries > 0);
    }

    /// Where nothing would listen for an agent.
    fn agentless() -> datadog_config::DDConfigBuilder {
        config("http://127.0.0.1:9")
            .profiling_agentless(true)
            .profiling_enabled(true)
    }

    #[test]
    fn the_intake_refuses_a_wrong_key() {
        let intake = LocalAgent::builder()
            .api_key("f".repeat(32))
            .start()
            .unwrap();
        let config = agentless()
            .profiling_url(intake.url())
            .api_key("0".repeat(32))
            .build()
            .unwrap();
        let profiler = start(&config, Fake::default());
        let report = profiler.flush(SOON);
        assert_eq!(report.dropped.get(DropReason::Refused(403)), 1, "{report}");
        assert_eq!(
            (health(&profiler).delivered, intake.refusals().len()),
            (0, 1)
        );
        assert_eq!(intake.profiles().len(), 0);
    }

    #[test]
    fn without_an_agent_and_a_key_there_is_no_receiver() {
        let profiler = start(&agentless().build().unwrap(), Fake::default());
        let report = profiler.flush(SOON);
        assert_eq!(report.dropped.get(DropReason::NoReceiver), 1, "{report}");
        let health = health(&profiler);
        assert_eq!((health.requests, health.buffered), (0, 0));
    }
}
