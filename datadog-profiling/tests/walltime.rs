//! Time by the wall clock, in the profile: of threads that wait within spans.

#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "waits as C code does; clippy takes only functions marked as tests for tests"
)]

use std::fs;
use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use datadog_local_agent::{Label, LocalAgent};
use datadog_profiling::{DDConfig, Profiler, Standalone};
use datadog_transport::SignalKind;
use datadog_transport::context::{self, ActiveSpan};
use libdd_profiling_protobuf::prost_impls::{Message as _, Profile, Sample};
use parking_lot::{Mutex, MutexGuard};

const SOON: Duration = Duration::from_secs(20);

/// There is one sampler a process, so the tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
}

fn span(id: u64) -> Option<ActiveSpan> {
    Some(ActiveSpan {
        trace_id: 1,
        span_id: id,
        local_root_id: 100 + id,
    })
}

/// A profiler with the wall clock, and where it keeps its profiles.
struct Profiled {
    profiler: Standalone<Profiler>,
    agent: LocalAgent,
    files: tempfile::TempDir,
}

impl Profiled {
    fn start() -> Self {
        let agent = LocalAgent::start().unwrap();
        let files = tempfile::tempdir().unwrap();
        let config = DDConfig::builder()
            .environment([("", "")])
            .agent_url(agent.url())
            .profiling_walltime_enabled(true)
            .profiling_output_pprof(files.path().join("own").display().to_string())
            .profiling_enabled(true);
        let profiler = Profiler::start(&config.build().unwrap()).unwrap();
        profiler.flush(SOON);
        assert!(profiler.is_sampling());
        for file in fs::read_dir(&files).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        agent.clear();
        Self {
            profiler,
            agent,
            files,
        }
    }

    /// What was found since the start, as a reader sees it that is not ours.
    fn read(&self) -> Found {
        assert_eq!(self.profiler.flush(SOON).delivered, 1);
        let mut files = fs::read_dir(&self.files).unwrap();
        let file: PathBuf = files.next().unwrap().unwrap().path();
        Found(Profile::decode(&*fs::read(file).unwrap()).unwrap())
    }
}

struct Found(Profile);

impl Found {
    fn text(&self, index: i64) -> &str {
        &self.0.string_table[index as usize]
    }

    /// The samples of a thread.
    fn of(&self, thread: &str) -> impl Iterator<Item = &Sample> {
        self.0.samples.iter().filter(move |sample| {
            let mut labels = sample.labels.iter();
            labels.any(|label| {
                self.text(label.key) == "thread name" && self.text(label.str) == thread
            })
        })
    }

    /// The sum of these samples' values, in a unit.
    fn sum<'a>(&self, kind: (&str, &str), samples: impl Iterator<Item = &'a Sample>) -> u64 {
        let mut types = self.0.sample_types.iter();
        let is_kind = types.position(|own| (self.text(own.r#type), self.text(own.unit)) == kind);
        let Some(at) = is_kind else { return 0 };
        samples.map(|sample| sample.values[at] as u64).sum()
    }

    fn wall<'a>(&self, samples: impl Iterator<Item = &'a Sample>) -> Duration {
        Duration::from_nanos(self.sum(("wall-time", "nanoseconds"), samples))
    }

    fn number(&self, sample: &Sample, key: &str) -> i64 {
        let mut labels = sample.labels.iter();
        let label = labels.find(|label| self.text(label.key) == key);
        label.map_or(0, |label| label.num)
    }

    /// Whether a function is anywhere on the stack.
    fn has(&self, sample: &Sample, name: &str) -> bool {
        let at = |id| self.0.locations.iter().find(move |own| own.id == id);
        let mut lines = sample.location_ids.iter().filter_map(|id| at(*id));
        lines.any(|location| {
            location.lines.iter().any(|line| {
                let mut functions = self.0.functions.iter();
                let function = functions.find(|own| own.id == line.function_id);
                function.is_some_and(|own| self.text(own.name).ends_with(name))
            })
        })
    }
}

#[inline(never)]
fn sleeps(time: Duration) {
    thread::sleep(time);
    black_box(());
}

#[inline(never)]
fn waits_for_an_answer(answers: &Receiver<()>) {
    let _ = black_box(answers.recv());
}

#[inline(never)]
fn reads_a_socket(socket: &mut TcpStream) -> u8 {
    let mut byte = [0];
    socket.read_exact(&mut byte).unwrap();
    black_box(byte[0])
}

fn cpu_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

#[inline(never)]
fn works(time: Duration) {
    let end = cpu_time() + time;
    let mut state = 1_u64;
    while cpu_time() < end {
        for _ in 0..300_000 {
            state ^= state << 13;
            state ^= state >> 7;
        }
    }
    black_box(state);
}

fn named<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).unwrap()
}

/// How often the thread has waited since its start, and was woken.
fn waits(thread: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

fn this_thread() -> String {
    fs::read_link("/proc/thread-self")
        .unwrap()
        .display()
        .to_string()
}

/// Whether all of it is about right. One sample stands for 91 ms.
fn about(found: Duration, truth: Duration) -> bool {
    found > truth.mul_f64(0.8) && found < truth.mul_f64(1.2)
}

#[test]
fn who_waits_is_shown_with_its_span_and_for_how_long() {
    let _turn = turn();
    let profiled = Profiled::start();
    let (answer, answers) = mpsc::channel();
    let sleeper = named("sleeper", || {
        let start = Instant::now();
        for id in [3, 4] {
            context::set(span(id));
            sleeps(Duration::from_millis(1500));
        }
        context::set(None);
        let slept = start.elapsed();
        sleeps(Duration::from_secs(1));
        slept
    });
    let waiter = named("waiter", move || {
        context::set(span(5));
        let start = Instant::now();
        waits_for_an_answer(&answers);
        start.elapsed()
    });
    let slept = sleeper.join().unwrap();
    drop(answer);
    let waited = waiter.join().unwrap();

    let found = profiled.read();
    let all = found.wall(found.of("sleeper"));
    assert!(about(all, slept), "{all:?} of {slept:?}");
    for id in [3, 4] {
        let own = || {
            let own = found.of("sleeper");
            own.filter(|sample| found.number(sample, "span id") == id)
        };
        let time = found.wall(own());
        assert!(about(time, slept / 2), "{id}: {time:?} of {slept:?}");
        let samples = found.sum(("wall-samples", "count"), own());
        assert!((5..60).contains(&samples), "{samples} in 1.5 s");
        for sample in own() {
            assert_eq!(found.number(sample, "local root span id"), 100 + id);
        }
        // The thread may be seen before it sleeps.
        let asleep = found.wall(own().filter(|sample| found.has(sample, "sleeps")));
        assert!(asleep > time.mul_f64(0.9), "{asleep:?} of {time:?}");
    }
    let all = found.wall(found.of("waiter"));
    assert!(about(all, waited), "{all:?} of {waited:?}");
    let own = found.of("waiter");
    let there = found.wall(own.filter(|sample| found.has(sample, "waits_for_an_answer")));
    assert!(there > all.mul_f64(0.9), "{there:?} of {all:?}");
    let upload = &profiled.agent.profiles()[0];
    let by_span = upload.pprof().unwrap().sum_by_label("wall-time", "span id");
    assert!(by_span.unwrap()[&Label::Number(5)] > 0);
}

#[test]
fn a_thread_without_a_span_is_left_alone() {
    let _turn = turn();
    let profiled = Profiled::start();
    let waiting = |name, span: Option<ActiveSpan>| {
        let (end, ends) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let thread = named(name, move || {
            // It had one once.
            context::set(self::span(9));
            context::set(span);
            tell.send(this_thread()).unwrap();
            waits_for_an_answer(&ends);
        });
        (thread, end, told.recv().unwrap())
    };
    let all: [(JoinHandle<()>, Sender<()>, String); 2] =
        [waiting("with-a-span", span(3)), waiting("without", None)];
    thread::sleep(Duration::from_millis(300));
    let woken = || all.each_ref().map(|(_, _, thread)| waits(thread));
    let before = woken();
    thread::sleep(Duration::from_secs(1));
    let after = woken();
    let [with, without] = [0, 1].map(|at| after[at] - before[at]);
    assert!(with > 3, "{with}");
    assert_eq!(without, 0);
    for (thread, end, _) in all {
        drop(end);
        thread.join().unwrap();
    }
    let found = profiled.read();
    assert!(found.wall(found.of("with-a-span")) > Duration::ZERO);
    assert_eq!(found.wall(found.of("without")), Duration::ZERO);
}

#[test]
fn of_more_threads_than_are_looked_at_the_sum_is_right() {
    let _turn = turn();
    let profiled = Profiled::start();
    let start = Instant::now();
    let threads: Vec<_> = (0..50)
        .map(|id| {
            named("one-of-many", move || {
                let start = Instant::now();
                context::set(span(id + 1));
                sleeps(Duration::from_secs(2));
                start.elapsed()
            })
        })
        .collect();
    let all = threads.into_iter().map(|thread| thread.join().unwrap());
    let slept: Duration = all.sum();
    let lasted = start.elapsed();
    let found = profiled.read();
    let time = found.wall(found.of("one-of-many"));
    assert!(about(time, slept), "{time:?} of {slept:?}");
    let samples = found.sum(("wall-samples", "count"), found.of("one-of-many"));
    let most = lasted.as_secs_f64() * 11.0 * 8.0;
    assert!(samples as f64 <= most + 8.0, "{samples} of {most}");
}

#[test]
fn cpu_time_stays_right_beside_it() {
    let _turn = turn();
    let profiled = Profiled::start();
    let worker = named("worker", || {
        let start = (Instant::now(), cpu_time());
        context::set(span(3));
        for _ in 0..10 {
            works(Duration::from_millis(200));
            sleeps(Duration::from_millis(50));
        }
        (start.0.elapsed(), cpu_time() - start.1)
    });
    let (lasted, worked) = worker.join().unwrap();
    let found = profiled.read();
    let cpu = |samples: &mut dyn Iterator<Item = &Sample>| {
        Duration::from_nanos(found.sum(("cpu-time", "nanoseconds"), samples))
    };
    let all = cpu(&mut found.of("worker"));
    assert!(about(all, worked), "{all:?} of {worked:?}");
    let own = found.of("worker");
    let in_work = cpu(&mut own.filter(|sample| found.has(sample, "works")));
    assert!(in_work > all.mul_f64(0.95), "{in_work:?} of {all:?}");
    let wall = found.wall(found.of("worker"));
    assert!(about(wall, lasted), "{wall:?} of {lasted:?}");
}

#[test]
fn what_waits_goes_on_waiting_and_no_request_fails() {
    let _turn = turn();
    let profiled = Profiled::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reader = named("reader", move || {
        let mut socket = TcpStream::connect(address).unwrap();
        context::set(span(3));
        let byte = reads_a_socket(&mut socket);
        // One call, that SA_RESTART begins again as often as it is interrupted.
        let read = socket.read(&mut [0; 8]);
        (byte, read.unwrap())
    });
    // As C code does, which may not think of it.
    let interrupted = named("napper", || {
        context::set(span(4));
        let time = libc::timespec {
            tv_sec: 2,
            tv_nsec: 0,
        };
        // SAFETY: the pointer is to a live value of its type; what is left is not asked for.
        let slept = unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
        (slept, std::io::Error::last_os_error().raw_os_error())
    });
    let (mut socket, _) = listener.accept().unwrap();
    let with_timeout = named("with-timeout", move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        context::set(span(6));
        socket.read(&mut [0; 8]).unwrap_err().kind()
    });
    let _silent = listener.accept().unwrap();
    // Requests of the client while the caller, too, is interrupted.
    context::set(span(5));
    let mut flushes = 0;
    let end = Instant::now() + Duration::from_millis(700);
    while Instant::now() < end || flushes < 10 {
        works(Duration::from_millis(20));
        profiled.profiler.flush(SOON);
        flushes += 1;
    }
    socket.write_all(&[7]).unwrap();
    thread::sleep(Duration::from_millis(300));
    socket.write_all(&[1, 2]).unwrap();
    context::set(None);
    assert_eq!(reader.join().unwrap(), (7, 2));
    assert_eq!(interrupted.join().unwrap(), (-1, Some(libc::EINTR)));
    assert_eq!(with_timeout.join().unwrap(), ErrorKind::Interrupted);
    let health = profiled.profiler.health().signal(SignalKind::Profiles);
    assert_eq!(health.last_error, None);
    assert_eq!((health.retries, health.dropped.total()), (0, 0));
    assert_eq!(health.requests, health.delivered);
}
