//! Flush, shutdown and drop in every order of events: `cargo xtask verify loom`.

use loom::thread::spawn;

use super::*;
use crate::{DropReason, Pass, Queue};

/// Never comes; see `sync/model.rs`.
const LONG: Duration = Duration::from_secs(60 * 60);

/// Delivers what it finds.
struct Taker {
    queue: Arc<Queue<()>>,
    account: Arc<Account>,
}

impl Signal for Taker {
    fn period(&self) -> Duration {
        LONG
    }

    fn run(&mut self, _: &Pass) -> Option<Instant> {
        while let Some(((), items)) = self.queue.pop() {
            self.account.deliver(items, 0);
        }
        None
    }

    fn close(&mut self) {
        self.queue.close();
    }
}

/// A client of one signal, whose queue holds `places` items.
fn start(config: &DDConfig, places: usize) -> (Arc<Transport>, Arc<Queue<()>>) {
    let mut builder = TransportBuilder::new(config);
    let queue = builder.add(SignalKind::Logs, |seat| {
        let limit = places * Queue::<()>::bytes_of(0);
        let queue = Arc::new(Queue::new(limit, Arc::clone(&seat.account), seat.waker));
        let taker = Taker {
            queue: Arc::clone(&queue),
            account: seat.account,
        };
        (taker, queue)
    });
    (Arc::new(builder.start().unwrap()), queue)
}

/// Tries the orders with up to three switches away from a thread that could go on.
fn try_orders(model: impl Fn(&DDConfig) + Send + Sync + 'static) {
    let config = DDConfig::builder().environment([("", "")]).build().unwrap();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || model(&config));
}

fn balanced(transport: &Transport) -> SignalHealth {
    let health = transport.health_of(None);
    let known = health.delivered + health.dropped.total() + health.buffered;
    assert_eq!(health.accepted, known, "{health:?}");
    health
}

#[test]
fn a_flush_delivers_what_was_taken_before_it() {
    try_orders(|config| {
        let (transport, queue) = start(config, 10);
        queue.push((), 1, 0);
        let other = spawn(move || queue.push((), 1, 0));
        let report = transport.flush(LONG);
        assert!(report.complete && report.delivered >= 1, "{report:?}");
        other.join().unwrap();
        balanced(&transport);
    });
}

#[test]
fn a_flush_meets_a_shutdown_and_both_end() {
    try_orders(|config| {
        let (transport, queue) = start(config, 10);
        queue.push((), 1, 0);
        let flushing = Arc::clone(&transport);
        let flush = spawn(move || flushing.flush(LONG));
        assert!(transport.shutdown(LONG).complete);
        flush.join().unwrap();
        assert_eq!(balanced(&transport).delivered, 1);
    });
}

#[test]
fn two_shutdowns_meet_and_both_are_complete() {
    try_orders(|config| {
        let (transport, queue) = start(config, 10);
        queue.push((), 1, 0);
        let second = Arc::clone(&transport);
        let other = spawn(move || second.shutdown(LONG));
        assert!(transport.shutdown(LONG).complete);
        assert!(other.join().unwrap().complete);
        assert_eq!(balanced(&transport).delivered, 1);
    });
}

#[test]
fn what_is_pushed_during_a_shutdown_is_delivered_or_counted() {
    try_orders(|config| {
        let (transport, queue) = start(config, 2);
        let pushing = Arc::clone(&queue);
        let other = spawn(move || (0..2).for_each(|_| _ = pushing.push((), 1, 0)));
        assert!(transport.shutdown(LONG).complete);
        other.join().unwrap();
        let health = balanced(&transport);
        assert_eq!((health.accepted, health.buffered), (2, 0));
        let shutdown = health.dropped.get(DropReason::Shutdown);
        assert_eq!(health.delivered + shutdown, 2, "{health:?}");
    });
}

#[test]
fn a_shutdown_without_time_still_counts_everything() {
    try_orders(|config| {
        let (transport, queue) = start(config, 10);
        queue.push((), 1, 0);
        transport.shutdown(Duration::ZERO);
        let health = balanced(&transport);
        assert_eq!((health.accepted, health.buffered), (1, 0));
    });
}

#[test]
fn the_last_handle_dropped_delivers_what_is_left() {
    try_orders(|config| {
        let (transport, queue) = start(config, 2);
        let accounts = transport.accounts.clone();
        let pushing = Arc::clone(&queue);
        let other = spawn(move || pushing.push((), 1, 0));
        other.join().unwrap();
        drop(transport);
        let health = accounts.health().total();
        assert_eq!((health.delivered, health.buffered), (1, 0));
    });
}
