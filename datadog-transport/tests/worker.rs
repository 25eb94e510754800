//! The worker with signals of its own making, and a client's flush and shutdown.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, unbounded};
use datadog_config::DDConfig;
use datadog_local_agent::{Endpoint, Fault, LocalAgent};
use datadog_transport::{
    AgentClient, DropReason, Occasion, Outbox, Pass, Payload, Queue, Signal, SignalKind, Transport,
    TransportBuilder,
};

const OFTEN: Duration = Duration::from_millis(20);

/// Posts each queued item as a list of traces that holds none.
struct Poster {
    agent: Arc<AgentClient>,
    queue: Arc<Queue<()>>,
    outbox: Outbox,
}

impl Signal for Poster {
    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        while let Some(((), items)) = self.queue.pop() {
            let headers = vec![
                ("Content-Type", "application/msgpack".to_owned()),
                ("X-Datadog-Trace-Count", "0".to_owned()),
                ("Datadog-Send-Real-Http-Status", "yes".to_owned()),
            ];
            self.outbox.push(Payload::new(vec![0x90], headers, items));
        }
        let agent = &self.agent;
        self.outbox.deliver(pass, agent.limit(), |payload, limit| {
            agent.post("/v0.4/traces", payload, limit)
        })
    }

    fn close(&mut self) {
        self.queue.close();
        self.outbox.close();
    }
}

/// Tells of each run, and does what it is made for.
struct Probe<F> {
    period: Duration,
    runs: Sender<(Occasion, Duration)>,
    work: F,
}

impl<F: FnMut() + Send> Signal for Probe<F> {
    fn period(&self) -> Duration {
        self.period
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        let _ = self.runs.send((
            pass.occasion,
            pass.deadline.saturating_duration_since(Instant::now()),
        ));
        (self.work)();
        None
    }

    fn close(&mut self) {}
}

fn config(url: &str) -> DDConfig {
    DDConfig::builder()
        .environment([("", "")])
        .agent_url(url)
        .agent_timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

fn poster(url: &str) -> (Transport, Arc<Queue<()>>) {
    let mut builder = TransportBuilder::new(&config(url));
    let agent = builder.agent().unwrap();
    let queue = builder.add(SignalKind::Traces, |seat| {
        let queue = Arc::new(Queue::new(1000, Arc::clone(&seat.account), seat.waker));
        let poster = Poster {
            agent,
            queue: Arc::clone(&queue),
            outbox: Outbox::new(1000, seat.account),
        };
        (poster, queue)
    });
    (builder.start().unwrap(), queue)
}

fn assert_balanced(transport: &Transport) {
    let total = transport.health().total();
    assert_eq!(
        total.accepted,
        total.delivered + total.dropped.total() + total.buffered,
        "{}",
        transport.health()
    );
}

#[test]
fn a_flush_delivers_what_is_buffered_and_reports_it() {
    let agent = LocalAgent::start().unwrap();
    let (transport, queue) = poster(&agent.url());
    queue.push((), 3, 10);
    queue.push((), 4, 10);
    let report = transport.flush(Duration::from_secs(5));
    assert_eq!(
        (
            report.delivered,
            report.requests,
            report.buffered,
            report.complete
        ),
        (7, 2, 0, true)
    );
    assert_eq!(
        transport
            .flush_signal(SignalKind::Traces, Duration::from_secs(5))
            .delivered,
        0
    );
    assert_eq!(agent.requests().len(), 2);
    assert_balanced(&transport);
}

#[test]
fn a_buffer_that_fills_up_is_delivered_before_the_period_ends() {
    let agent = LocalAgent::start().unwrap();
    let (transport, queue) = poster(&agent.url());
    queue.push((), 1, 600);
    agent
        .wait_for(Duration::from_secs(5), |got| !got.requests().is_empty())
        .unwrap();
    drop(transport);
}

#[test]
fn refusals_are_final_and_a_busy_receiver_is_tried_again() {
    let agent = LocalAgent::start().unwrap();
    let (transport, queue) = poster(&agent.url());
    agent.fail_next(1, Endpoint::Traces, Fault::Status(400));
    queue.push((), 1, 1);
    let report = transport.flush(Duration::from_secs(5));
    assert_eq!(
        (
            report.dropped.get(DropReason::Refused(400)),
            report.requests
        ),
        (1, 1)
    );

    agent.fail_next(1, Endpoint::Traces, Fault::Status(503));
    queue.push((), 2, 1);
    let report = transport.flush(Duration::from_secs(5));
    assert_eq!((report.delivered, report.buffered), (0, 2));
    assert!(
        transport
            .health()
            .total()
            .last_error
            .unwrap()
            .message
            .contains("503")
    );
    // Nobody flushes: the back-off alone brings the second try.
    agent
        .wait_for(Duration::from_secs(5), |got| got.requests().len() == 3)
        .unwrap();
    let report = transport.shutdown(Duration::from_secs(5));
    assert_eq!(report.buffered, 0);
    let health = transport.health().signal(SignalKind::Traces);
    assert_eq!((health.delivered, health.retries), (2, 1));
    assert_balanced(&transport);
}

#[test]
fn a_receiver_that_asks_for_patience_gets_it() {
    let agent = LocalAgent::start().unwrap();
    let (transport, queue) = poster(&agent.url());
    agent.fail_next(1, Endpoint::Traces, Fault::RetryAfter(429, 1));
    queue.push((), 1, 1);
    let start = Instant::now();
    assert_eq!(transport.flush(Duration::from_secs(5)).buffered, 1);
    agent
        .wait_for(Duration::from_secs(10), |got| got.requests().len() == 2)
        .unwrap();
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn without_an_agent_a_shutdown_is_quick_and_counts_what_it_drops() {
    let url = LocalAgent::start().unwrap().url();
    let (transport, queue) = poster(&url);
    queue.push((), 5, 10);
    let start = Instant::now();
    let report = transport.shutdown(Duration::from_secs(20));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        (report.dropped.get(DropReason::Shutdown), report.complete),
        (5, true)
    );
    queue.push((), 1, 1);
    assert_eq!(
        transport.health().total().dropped.get(DropReason::Shutdown),
        6
    );
    assert!(
        !transport.flush(Duration::from_secs(5)).complete,
        "there is nothing left that could flush"
    );
    assert_balanced(&transport);
}

#[test]
fn a_hanging_request_does_not_keep_a_shutdown_beyond_its_limit() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::NeverAnswer);
    for url in [
        agent.url(),
        format!("unix://{}", agent.trace_socket().display()),
    ] {
        let (transport, queue) = poster(&url);
        queue.push((), 2, 600);
        agent
            .wait_for(Duration::from_secs(5), |got| !got.requests().is_empty())
            .unwrap();
        let start = Instant::now();
        let report = transport.shutdown(Duration::from_millis(200));
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(
            (report.dropped.get(DropReason::Shutdown), report.complete),
            (2, true)
        );
        assert_balanced(&transport);
        agent.clear();
    }
}

#[test]
fn whoever_shuts_down_meanwhile_waits_for_the_end() {
    let agent = LocalAgent::start().unwrap();
    let (transport, queue) = poster(&agent.url());
    agent.fail(Fault::Delay(Duration::from_millis(300)));
    queue.push((), 1, 1);
    std::thread::scope(|scope| {
        let calls = [(); 4].map(|()| {
            scope.spawn(|| {
                let report = transport.shutdown(Duration::from_secs(20));
                (report.complete, transport.health().total().delivered)
            })
        });
        for call in calls {
            assert_eq!(call.join().unwrap(), (true, 1));
        }
    });
    assert!(!transport.flush(Duration::from_secs(20)).complete);
}

#[test]
fn any_time_limit_will_do() {
    let agent = LocalAgent::start().unwrap();
    let (transport, queue) = poster(&agent.url());
    queue.push((), 1, 1);
    transport.flush(Duration::ZERO);
    assert!(transport.flush(Duration::MAX).complete);
    assert!(transport.shutdown(Duration::MAX).complete);
    assert_eq!(transport.health().total().delivered, 1);
}

#[test]
fn dropping_the_transport_delivers_what_is_buffered() {
    let agent = LocalAgent::start().unwrap();
    let (transport, queue) = poster(&agent.url());
    queue.push((), 1, 1);
    drop(transport);
    assert_eq!(agent.requests().len(), 1);
}

#[test]
fn a_panic_in_one_signal_does_not_stop_the_others() {
    let mut builder = TransportBuilder::new(&config("localhost"));
    let (bad_runs, bad) = unbounded();
    let (good_runs, good) = unbounded();
    builder.add(SignalKind::Logs, |_| {
        (
            Probe {
                period: OFTEN,
                runs: bad_runs,
                work: || panic!("this test wants it"),
            },
            (),
        )
    });
    builder.add(SignalKind::Metrics, |_| {
        (
            Probe {
                period: OFTEN,
                runs: good_runs,
                work: || {},
            },
            (),
        )
    });
    let transport = builder.start().unwrap();
    for runs in [&bad, &good] {
        for _ in 0..3 {
            runs.recv_timeout(Duration::from_secs(5)).unwrap();
        }
    }
    let error = transport
        .health()
        .signal(SignalKind::Logs)
        .last_error
        .unwrap();
    assert!(error.message.contains("panicked"), "{error:?}");
    assert!(transport.shutdown(Duration::from_secs(5)).complete);
}

#[test]
fn a_slow_signal_can_use_up_its_own_share_of_a_flush_only() {
    let mut builder = TransportBuilder::new(&config("localhost"));
    let (first_runs, first) = unbounded();
    let (second_runs, second) = unbounded();
    let slow = || std::thread::sleep(Duration::from_millis(500));
    builder.add(SignalKind::Logs, |_| {
        (
            Probe {
                period: OFTEN,
                runs: first_runs,
                work: slow,
            },
            (),
        )
    });
    builder.add(SignalKind::Metrics, |_| {
        (
            Probe {
                period: OFTEN,
                runs: second_runs,
                work: || {},
            },
            (),
        )
    });
    let transport = builder.start().unwrap();
    transport.shutdown(Duration::from_secs(10));
    let share = |runs: &crossbeam::channel::Receiver<(Occasion, Duration)>| {
        runs.try_iter()
            .find(|(occasion, _)| *occasion == Occasion::Shutdown)
            .unwrap()
            .1
    };
    assert!(share(&first) <= Duration::from_secs(5));
    assert!(share(&second) > Duration::from_secs(4));
}

#[test]
fn a_request_that_hangs_leaves_a_shutdown_time_for_the_other_signals() {
    let agent = LocalAgent::start().unwrap();
    let healthy = LocalAgent::start().unwrap();
    agent.fail(Fault::NeverAnswer);
    let mut builder = TransportBuilder::new(&config(&agent.url()));
    let hanging = builder.agent().unwrap();
    let other = TransportBuilder::new(&config(&healthy.url()))
        .agent()
        .unwrap();
    let [hanging, other] =
        [(SignalKind::Traces, hanging), (SignalKind::Logs, other)].map(|(kind, agent)| {
            builder.add(kind, |seat| {
                let queue = Arc::new(Queue::new(1000, Arc::clone(&seat.account), seat.waker));
                let poster = Poster {
                    agent,
                    queue: Arc::clone(&queue),
                    outbox: Outbox::new(1000, seat.account),
                };
                (poster, queue)
            })
        });
    let transport = builder.start().unwrap();
    hanging.push((), 2, 600);
    agent
        .wait_for(Duration::from_secs(5), |got| !got.requests().is_empty())
        .unwrap();
    other.push((), 3, 1);
    let limit = Duration::from_secs(4);
    let start = Instant::now();
    let report = transport.shutdown(limit);
    assert!(start.elapsed() < limit + Duration::from_secs(2));
    assert!(report.complete, "{report}");
    let health = transport.health();
    assert_eq!(health.signal(SignalKind::Logs).delivered, 3, "{health}");
    let dropped = health.signal(SignalKind::Traces).dropped;
    assert_eq!(dropped.get(DropReason::Shutdown), 2, "{health}");
    assert_balanced(&transport);
}

#[test]
fn a_signal_that_is_always_awake_does_not_keep_another_from_its_turn() {
    let mut builder = TransportBuilder::new(&config("localhost"));
    let (busy_runs, busy) = unbounded();
    let (calm_runs, calm) = unbounded();
    builder.add(SignalKind::Logs, |seat| {
        let waker = seat.waker.clone();
        let work = move || waker.wake();
        seat.waker.wake();
        (
            Probe {
                period: Duration::from_secs(60),
                runs: busy_runs,
                work,
            },
            (),
        )
    });
    builder.add(SignalKind::Metrics, |_| {
        (
            Probe {
                period: OFTEN,
                runs: calm_runs,
                work: || {},
            },
            (),
        )
    });
    let transport = builder.start().unwrap();
    for _ in 0..3 {
        calm.recv_timeout(Duration::from_secs(5)).unwrap();
    }
    assert!(busy.len() > 3);
    assert!(transport.flush(Duration::from_secs(5)).complete);
}

#[test]
fn work_besides_the_signals_is_done_each_period_until_it_panics() {
    let mut builder = TransportBuilder::new(&config("localhost"));
    let (done, times) = unbounded();
    let (good_done, good_times) = unbounded();
    builder.every(OFTEN, move || {
        done.send(datadog_transport::on_worker()).unwrap();
        assert!(done.len() < 3, "an expected panic of this test");
    });
    builder.every(OFTEN, move || good_done.send(()).unwrap());
    let transport = builder.start().unwrap();
    for _ in 0..10 {
        good_times.recv_timeout(Duration::from_secs(5)).unwrap();
    }
    assert_eq!(times.iter().collect::<Vec<_>>(), [true; 3]);
    assert!(transport.shutdown(Duration::from_secs(5)).complete);
    let after = good_times.try_iter().count();
    assert!(after < 100, "{after}");
    assert!(
        good_times.recv_timeout(OFTEN * 3).is_err(),
        "it ends with the client"
    );
}
