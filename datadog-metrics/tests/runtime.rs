//! What is told about the process is true: every figure is compared with a reading of another kind. Alone in its binary,
//! because other tests would use the process too.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs::{self, File};
use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::{LocalAgent, MetricKind};
use datadog_metrics::{Metrics, RuntimeMetrics, Standalone};

/// Longer than the period, even on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Times in `/proc` are in units of a hundredth of a second on every architecture that Rust runs on.
const TICKS: f64 = 100.0;

/// The process as `/proc/self/stat` and its like tell it; what is sent comes from `getrusage` and `/proc/self/status`.
struct Reading {
    user: f64,
    system: f64,
    minor_faults: f64,
    major_faults: f64,
    mapped: f64,
    resident: f64,
    voluntary: f64,
    involuntary: f64,
    threads: f64,
    files: f64,
}

impl Reading {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        // The second field is in parentheses; the next one is number 3 (man page proc_pid_stat(5)).
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |number: usize| fields[number - 3].parse::<f64>().unwrap();
        let maps = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let resident = maps.lines().find(|line| line.starts_with("Rss:")).unwrap();
        let of_threads = |name: &str| -> f64 {
            let threads = fs::read_dir("/proc/self/task").unwrap();
            let status = threads
                .map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
            let number = |status: String| {
                let line = status.lines().find(|line| line.starts_with(name)).unwrap();
                line[name.len()..].trim().parse::<f64>().unwrap()
            };
            status.map(number).sum()
        };
        Self {
            user: field(14) / TICKS,
            system: field(15) / TICKS,
            minor_faults: field(10),
            major_faults: field(12),
            mapped: field(23),
            resident: resident
                .split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<f64>()
                .unwrap()
                * 1024.0,
            voluntary: of_threads("voluntary_ctxt_switches:"),
            involuntary: of_threads("nonvoluntary_ctxt_switches:"),
            threads: fs::read_dir("/proc/self/task").unwrap().count() as f64,
            files: fs::read_dir("/proc/self/fd").unwrap().count() as f64 - 1.0,
        }
    }
}

/// Starts a client of the agent with the metrics of its process, and opens its socket.
fn start(
    agent: &LocalAgent,
    service: &str,
    enabled: bool,
) -> (Standalone<Metrics>, RuntimeMetrics, String) {
    let config = DDConfig::builder()
        .environment([("", "")])
        .service(service)
        .runtime_metrics_enabled(enabled)
        .dogstatsd_url(agent.dogstatsd_url())
        .build()
        .unwrap();
    let mut runtime = None;
    let metrics = Standalone::start(&config, |transport| {
        let metrics = Metrics::join(transport)?;
        runtime = Some(RuntimeMetrics::join(transport, &metrics));
        Ok(metrics)
    })
    .unwrap();
    metrics.increment("started", ());
    metrics.flush(SOON);
    (metrics, runtime.unwrap(), config.runtime_id().to_owned())
}

/// A thread that answers, until nobody asks.
fn echo(questions: Receiver<()>, answers: Sender<()>) {
    thread::spawn(move || questions.iter().for_each(|()| answers.send(()).unwrap()));
}

/// Works for so much time of the processor, which other programs may have for most of the time.
fn for_a_while(time: Duration, mut work: impl FnMut()) {
    let end = cpu_time() + time;
    while cpu_time() < end {
        (0..1000).for_each(|_| work());
    }
}

/// The time that this thread had a processor (torvalds/linux: `Documentation/scheduler/sched-stats.rst`).
fn cpu_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn the_figures_are_those_of_the_process() {
    let agent = LocalAgent::start().unwrap();
    let (_metrics, runtime, runtime_id) = start(&agent, "shop", true);
    let (_without, disabled, _) = start(&agent, "quiet", false);
    let busy = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    // Nobody drives it, so what is spawned waits.
    let idle = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.observe_tokio(busy.handle());
    runtime.observe_tokio(idle.handle());
    disabled.observe_tokio(busy.handle());
    (0..7).for_each(|_| drop(busy.spawn(std::future::pending::<()>())));
    (0..3).for_each(|_| drop(idle.spawn(async {})));

    let before = Reading::now();
    let (ask, questions) = channel();
    let (answers, answered) = channel();
    echo(questions, answers);
    for _ in 0..500 {
        ask.send(()).unwrap();
        answered.recv().unwrap();
    }
    let mut number = 1u64;
    for_a_while(Duration::from_millis(1000), || {
        (0..100).for_each(|_| number = black_box(number.wrapping_mul(31)))
    });
    for_a_while(Duration::from_millis(500), || {
        drop(black_box(fs::metadata("/proc/self/stat")))
    });
    let memory = black_box(vec![1u8; 64 << 20]);
    let files: Vec<File> = (0..50).map(|_| File::open("/dev/null").unwrap()).collect();

    agent
        .wait_for(SOON, |got| {
            let told = |name: &str| {
                got.metrics()
                    .iter()
                    .filter(|metric| metric.name == name)
                    .count()
            };
            told("runtime.rust.fd.open") > 0 && told("runtime.rust.tokio.global_queue_depth") > 1
        })
        .unwrap();
    let after = Reading::now();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());

    let told = |name: &str| {
        let metrics = agent.metrics_named(&format!("runtime.rust.{name}"));
        let [metric] = metrics.as_slice() else {
            panic!("{name}: {metrics:?}");
        };
        assert_eq!((metric.kind, metric.values.len()), (MetricKind::Gauge, 1));
        let tags = [
            "service:shop",
            "lang:rust",
            &format!("runtime-id:{runtime_id}"),
        ];
        assert_eq!(metric.tags, tags);
        metric.values[0]
    };
    let near = |name: &str, expected: f64, tolerance: f64| {
        let told = told(name);
        assert!(
            (told - expected).abs() <= tolerance,
            "{name}: {told}, not {expected}"
        );
        told
    };
    let user = near("cpu.time.user", after.user - before.user, 0.15);
    let system = near("cpu.time.sys", after.system - before.system, 0.15);
    // The work took 1.5 s, of which more or less is the system's.
    assert!(user > 0.5 && system > 0.1, "{user} s, {system} s");
    let percent = told("cpu.percent");
    let seconds = (user + system) / percent * 100.0;
    assert!(
        (9.9..15.0).contains(&seconds),
        "{percent} % since {seconds} s"
    );
    let switches = after.voluntary - before.voluntary;
    assert!(near("cpu.ctx_switch.voluntary", switches, switches * 0.1) > 500.0);
    let switches = after.involuntary - before.involuntary;
    near(
        "cpu.ctx_switch.involuntary",
        switches,
        switches * 0.1 + 20.0,
    );
    let faults = after.minor_faults - before.minor_faults;
    assert!(near("mem.page_faults.minor", faults, faults * 0.1 + 200.0) > 30.0);
    near(
        "mem.page_faults.major",
        after.major_faults - before.major_faults,
        10.0,
    );
    let resident = near("mem.rss", after.resident, f64::from(8 << 20));
    assert!(
        resident - before.resident > 60e6,
        "{resident} after {}",
        before.resident
    );
    near("mem.vms", after.mapped, f64::from(8 << 20));
    near("thread_count", after.threads, 0.0);
    near("fd.open", after.files, 0.0);
    assert_eq!(after.files, before.files + files.len() as f64);
    assert!(memory.iter().all(|byte| *byte == 1));

    let told = |name: &str| {
        let metrics = agent.metrics_named(&format!("runtime.rust.tokio.{name}"));
        [0, 1].map(|number| {
            let tag = format!("tokio_runtime:{number}");
            let of_runtime = metrics.iter().find(|metric| metric.has_tag(&tag)).unwrap();
            assert!(of_runtime.has_tag("service:shop"));
            of_runtime.values[0]
        })
    };
    assert_eq!(told("workers"), [2.0, 1.0]);
    assert_eq!(told("alive_tasks"), [7.0, 3.0]);
    assert_eq!(told("global_queue_depth"), [0.0, 3.0]);
}
