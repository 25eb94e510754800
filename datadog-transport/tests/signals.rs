//! A process that gets a thousand signals a second, as under a profiler. Linux restarts no socket call that has a time
//! limit, so all of them fail with EINTR. Without a test harness: signals go to the main thread.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]
#![expect(unsafe_code, reason = "the standard library knows no signals")]

use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_local_agent::{Fault, LocalAgent};
use datadog_transport::{Payload, SendError, StatsdError, StatsdSocket, TransportBuilder};

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

fn main() {
    send_signals();
    requests_survive();
    time_limits_hold();
    a_full_dogstatsd_socket_is_given_up_in_time();
}

/// Starts a timer that interrupts the main thread a thousand times a second.
fn send_signals() {
    let period = libc::timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    let timer = libc::itimerval {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: a zeroed `sigaction` is one without a mask; the handler does nothing but an atomic addition; all
    // pointers live as long as the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        let no_old = std::ptr::null_mut();
        assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, no_old), 0);
        let no_old = std::ptr::null_mut();
        assert_eq!(
            libc::setitimer(libc::ITIMER_REAL, &raw const timer, no_old),
            0
        );
    }
}

/// Does `work`, and checks that it was interrupted.
fn interrupted<T>(work: impl FnOnce() -> T) -> T {
    let before = SIGNALS.load(Ordering::Relaxed);
    let done = work();
    let signals = SIGNALS.load(Ordering::Relaxed) - before;
    assert!(signals > 3, "{signals}");
    done
}

fn config(url: &str) -> DDConfig {
    let config = DDConfig::builder().environment([("", "")]).agent_url(url);
    config.build().unwrap()
}

fn urls(agent: &LocalAgent) -> [String; 2] {
    let socket = format!("unix://{}", agent.trace_socket().display());
    [agent.url(), socket]
}

fn post(url: &str, limit: Duration) -> Result<u16, SendError> {
    let client = TransportBuilder::new(&config(url)).agent().unwrap();
    let payload = Payload::new(vec![b' '; 1 << 20], Vec::new(), 0);
    let answer = client.post("/no/such/endpoint", &payload, limit)?;
    Ok(answer.status())
}

fn requests_survive() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::Delay(Duration::from_millis(50)));
    for url in urls(&agent) {
        for _ in 0..10 {
            let status = interrupted(|| post(&url, Duration::from_secs(20)));
            assert_eq!(status.unwrap(), 404, "{url}");
        }
    }
}

fn time_limits_hold() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::NeverAnswer);
    // One more listener whose backlog is full, so that even connecting takes for ever.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.sock");
    let listener =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(&socket2::SockAddr::unix(&path).unwrap())
        .unwrap();
    listener.listen(0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let full = format!("unix://{}", path.display());
    for url in urls(&agent).into_iter().chain([full]) {
        let start = Instant::now();
        let limit = Duration::from_millis(200);
        let error = interrupted(|| post(&url, limit)).unwrap_err();
        assert!(matches!(error, SendError::TimedOut(_)), "{url}: {error:?}");
        let time = start.elapsed();
        assert!(
            time > limit / 2 && time < Duration::from_secs(10),
            "{url}: {time:?}"
        );
    }
}

fn a_full_dogstatsd_socket_is_given_up_in_time() {
    let agent = LocalAgent::start().unwrap();
    agent.pause_dogstatsd();
    let filler = UnixDatagram::unbound().unwrap();
    filler.connect(agent.dogstatsd_socket()).unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send(b"full:1|c\n").is_ok() {}
    let config = DDConfig::builder()
        .environment([("", "")])
        .dogstatsd_url(format!("unix://{}", agent.dogstatsd_socket().display()))
        .build()
        .unwrap();
    let mut socket = StatsdSocket::new(config.dogstatsd());
    let start = Instant::now();
    let error = interrupted(|| socket.send(b"lost:1|c\n")).unwrap_err();
    assert!(matches!(error, StatsdError::Full), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}
