//! Encoded payloads on their way to an HTTP server.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::diagnostics::Limiter;
use crate::retry::{Backoff, Verdict, judge};
use crate::{Account, Answer, DropReason, Occasion, Pass, Payload, Room, SendError};

/// A payload that the receiver fails on for this long makes way for the next.
const LONGEST_STAY: Duration = Duration::from_secs(60);

/// Payloads that wait for one receiver, bounded in bytes: new ones push out the oldest.
#[derive(Debug)]
pub struct Outbox {
    account: Arc<Account>,
    limit: usize,
    /// What it shares with a queue.
    room: Arc<Room>,
    bytes: usize,
    waiting: VecDeque<Waiting>,
    /// The body of the payload that was delivered last, once somebody asked for it.
    spare: Option<Vec<u8>>,
    backoff: Backoff,
    failures: Limiter,
    refusals: Limiter,
    /// Whether a wrong API key was logged, which more lines don't mend.
    key_refused: bool,
}

#[derive(Debug)]
struct Waiting {
    payload: Payload,
    since: Instant,
    tried: bool,
    /// Whether it was sent again at once after its connection broke.
    resent: bool,
}

impl Outbox {
    /// An empty outbox that keeps at most `limit` bytes, and counts into `account`.
    pub fn new(limit: usize, account: Arc<Account>) -> Self {
        Self::within(Room::new(limit), limit, account)
    }

    /// An empty outbox like [`Outbox::new`], whose bytes are taken from the `room` of a [`Queue`](crate::Queue) as well:
    /// where that is too small for both, the oldest payloads are dropped.
    pub fn within(room: Arc<Room>, limit: usize, account: Arc<Account>) -> Self {
        Self {
            account,
            limit,
            room,
            bytes: 0,
            waiting: VecDeque::new(),
            spare: None,
            backoff: Backoff::default(),
            failures: Limiter::default(),
            refusals: Limiter::default(),
            key_refused: false,
        }
    }

    /// Takes a payload. Where the limit is passed, the oldest are dropped as [`DropReason::QueueFull`]; the newest
    /// gets its try even if it passes the limit alone.
    pub fn push(&mut self, mut payload: Payload) {
        self.account.pending(payload.items as i64);
        if !self.waiting.is_empty() {
            payload.trim();
        }
        let bytes = self.bytes + payload.memory();
        self.waiting
            .push_back(Waiting::new(payload, Instant::now()));
        let mut fits = self.set_bytes(bytes);
        while !fits && self.waiting.len() > 1 {
            self.give_up_first(DropReason::QueueFull);
            fits = self.set_bytes(self.bytes);
        }
    }

    /// Sends the payloads in order, each within `limit`, until one has to wait, or `pass` ends. Returns when to
    /// try again, if something is left. `send` may put another encoding of the same items in a payload's place.
    pub fn deliver(
        &mut self,
        pass: &Pass,
        limit: Duration,
        mut send: impl FnMut(&mut Payload, Duration) -> Result<Answer, SendError>,
    ) -> Option<Instant> {
        loop {
            let now = Instant::now();
            let first = self.waiting.front_mut()?;
            if pass.occasion == Occasion::Due
                && let Some(until) = self.backoff.wait_until(now)
            {
                return Some(until);
            }
            let left = pass.deadline.saturating_duration_since(now);
            if left.is_zero() {
                return Some(now);
            }
            // A request that is cut short may have arrived all the same, and comes twice then. So only somebody
            // who waits can shorten it.
            let limit = match pass.occasion {
                Occasion::Due => limit,
                Occasion::Flush | Occasion::Shutdown => limit.min(left),
            };
            self.account.request(first.tried);
            first.tried = true;
            let (memory, items) = (first.payload.memory(), first.payload.items);
            let outcome = send(&mut first.payload, limit);
            let bytes = self.bytes - memory + first.payload.memory();
            debug_assert_eq!(items, first.payload.items, "the same items");
            let torn = matches!(outcome, Err(SendError::Torn(_))) && !first.resent;
            first.resent |= torn;
            self.set_bytes(bytes);
            if torn {
                // Most likely the server closed the connection while it was idle.
                continue;
            }
            match judge(&outcome) {
                Verdict::Delivered => self.deliver_first(),
                Verdict::TooLarge { .. } if self.split_first() => {}
                Verdict::TooLarge { error } => self.refuse_first(DropReason::TooLarge, error),
                Verdict::Refused { status, error } => {
                    self.refuse_first(DropReason::Refused(status), error);
                }
                Verdict::Stopped => return Some(now),
                Verdict::Later {
                    error,
                    retry_after,
                    absent,
                } => {
                    let until = self.postpone(error, retry_after, absent);
                    let in_vain = absent || until >= pass.deadline;
                    if pass.occasion != Occasion::Shutdown || in_vain {
                        return Some(until);
                    }
                    thread::sleep(until.saturating_duration_since(Instant::now()));
                }
            }
        }
    }

    /// The body of the payload that was delivered last, as memory for the next one: new memory of this size costs a page
    /// fault every 4 KiB, which is more than to fill it. Outboxes that nobody asks keep none.
    pub fn take_spare(&mut self) -> Vec<u8> {
        self.spare.replace(Vec::new()).unwrap_or_default()
    }

    /// Drops everything as [`DropReason::Shutdown`].
    pub fn close(&mut self) {
        while !self.waiting.is_empty() {
            self.give_up_first(DropReason::Shutdown);
        }
    }

    /// Notes a failure that may pass. Returns when to try again.
    fn postpone(&mut self, error: String, retry_after: Option<Duration>, absent: bool) -> Instant {
        let now = Instant::now();
        self.backoff.fail(now, retry_after);
        self.failures
            .warn(|| format!("can't deliver, will try again: {error}"));
        self.account.error(error);
        self.trim_first();
        // Where nothing listens, the payload can't be what is wrong.
        if !absent {
            self.expire_first(now);
        }
        self.backoff.wait_until(now).unwrap_or(now)
    }

    /// What waits keeps no memory that it does not need.
    fn trim_first(&mut self) {
        if let Some(Waiting { payload, .. }) = self.waiting.front_mut() {
            let before = payload.memory();
            payload.trim();
            let bytes = self.bytes - before + payload.memory();
            self.set_bytes(bytes);
        }
    }

    fn expire_first(&mut self, now: Instant) {
        let first = self.waiting.front();
        if first.is_some_and(|first| now - first.since > LONGEST_STAY) {
            self.give_up_first(DropReason::Expired);
        }
    }

    /// Puts two halves in the place of the first payload, if it can be halved.
    fn split_first(&mut self) -> bool {
        let Some(halves) = self
            .waiting
            .front()
            .and_then(|first| first.payload.halves())
        else {
            return false;
        };
        let Some(Waiting { payload, since, .. }) = self.waiting.pop_front() else {
            return false;
        };
        let mut bytes = self.bytes - payload.memory();
        for half in halves.into_iter().rev() {
            bytes += half.memory();
            self.waiting.push_front(Waiting::new(half, since));
        }
        self.set_bytes(bytes);
        true
    }

    fn refuse_first(&mut self, reason: DropReason, error: String) {
        self.backoff.succeed();
        let items = self.waiting.front().map_or(0, |first| first.payload.items);
        let key_refused = matches!(reason, DropReason::Refused(401 | 403));
        if !(key_refused && self.key_refused) {
            self.refusals
                .warn(|| format!("{items} items dropped: {error}"));
        }
        self.key_refused |= key_refused;
        self.account.error(error);
        self.give_up_first(reason);
    }

    fn deliver_first(&mut self) {
        self.backoff.succeed();
        self.key_refused = false;
        if let Some(payload) = self.take_first() {
            self.account.deliver(payload.items, payload.body.len());
            if let Some(spare) = &mut self.spare {
                *spare = payload.body;
            }
        }
    }

    fn give_up_first(&mut self, reason: DropReason) {
        if let Some(payload) = self.take_first() {
            self.account.drop_items(reason, payload.items);
        }
    }

    /// Notes how many bytes wait. Whether that is not too much.
    fn set_bytes(&mut self, bytes: usize) -> bool {
        self.bytes = bytes;
        self.room.set_outbox(bytes) && bytes <= self.limit
    }

    fn take_first(&mut self) -> Option<Payload> {
        let payload = self.waiting.pop_front()?.payload;
        self.set_bytes(self.bytes - payload.memory());
        self.account.pending(-(payload.items as i64));
        Some(payload)
    }
}

impl Waiting {
    fn new(payload: Payload, since: Instant) -> Self {
        Self {
            payload,
            since,
            tried: false,
            resent: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::{Headers, Part};

    fn outbox() -> (Outbox, Arc<Account>) {
        let account = Arc::new(Account::default());
        (Outbox::new(100, Arc::clone(&account)), account)
    }

    fn payload(account: &Account, bytes: usize, items: u64) -> Payload {
        account.accept(items);
        Payload::new(vec![0; bytes], Headers::new(), items)
    }

    fn pass(occasion: Occasion, left: Duration) -> Pass {
        Pass {
            occasion,
            deadline: Instant::now() + left,
        }
    }

    fn balanced(account: &Account) -> bool {
        let health = account.snapshot();
        health.accepted == health.delivered + health.dropped.total() + health.buffered
    }

    #[test]
    fn new_payloads_push_out_the_oldest() {
        let (mut outbox, account) = outbox();
        for items in 1..=3 {
            outbox.push(payload(&account, 50, items));
        }
        let health = account.snapshot();
        assert_eq!(
            (health.buffered, health.dropped.get(DropReason::QueueFull)),
            (5, 1)
        );
        outbox.push(payload(&account, 500, 7));
        assert_eq!(
            account.snapshot().buffered,
            7,
            "one that is larger than the limit alone still gets its try"
        );
        assert!(balanced(&account));
    }

    #[test]
    fn what_a_queue_has_pushes_out_the_oldest_too() {
        let account = Arc::new(Account::default());
        let room = Room::new(120);
        let mut outbox = Outbox::within(Arc::clone(&room), 100, Arc::clone(&account));
        outbox.push(payload(&account, 50, 1));
        assert_eq!(room.queue(71), None);
        assert!(room.queue(70).is_some());
        outbox.push(payload(&account, 40, 2));
        assert_eq!((outbox.bytes, account.snapshot().buffered), (40, 2));
        outbox.close();
        assert_eq!(room.queue(50), Some(120));
        assert!(balanced(&account));
    }

    #[test]
    fn a_due_pass_respects_the_back_off_and_a_flush_does_not() {
        let (mut outbox, account) = outbox();
        outbox.push(payload(&account, 1, 1));
        let fail = |_: &mut Payload, _| Err(SendError::TimedOut("slow".to_owned()));
        outbox
            .backoff
            .fail(Instant::now(), Some(Duration::from_secs(60)));
        let again = outbox.deliver(
            &pass(Occasion::Due, Duration::from_secs(1)),
            Duration::from_secs(1),
            fail,
        );
        assert!(again.unwrap() > Instant::now() + Duration::from_secs(50));
        assert_eq!(account.snapshot().requests, 0);
        outbox.deliver(
            &pass(Occasion::Flush, Duration::from_secs(1)),
            Duration::from_secs(1),
            fail,
        );
        assert_eq!(account.snapshot().requests, 1);
        assert!(balanced(&account));
    }

    #[test]
    fn a_shutdown_tries_an_absent_server_once_and_a_broken_one_until_the_deadline() {
        let (mut outbox, account) = outbox();
        outbox.push(payload(&account, 1, 1));
        let limit = Duration::from_secs(1);
        outbox.deliver(&pass(Occasion::Shutdown, limit), limit, |_, _| {
            Err(SendError::NotListening(String::new()))
        });
        assert_eq!(account.snapshot().requests, 1);
        outbox.deliver(
            &pass(Occasion::Shutdown, Duration::from_millis(300)),
            limit,
            |_, _| Err(SendError::Torn(String::new())),
        );
        let health = account.snapshot();
        assert!(health.requests > 3, "{health:?}");
        assert_eq!(health.retries, health.requests - 1);
        outbox.close();
        assert_eq!(account.snapshot().dropped.get(DropReason::Shutdown), 1);
        assert!(balanced(&account));
    }

    #[test]
    fn what_is_too_large_is_halved_until_it_fits_or_is_a_single_entry() {
        fn list(entries: &[(&[u8], u64)]) -> Payload {
            let body: Vec<u8> = entries
                .iter()
                .flat_map(|(entry, _)| entry.to_vec())
                .collect();
            let mut start = 0;
            let parts = entries.iter().map(|(entry, items)| {
                start += entry.len();
                Part {
                    bytes: start - entry.len()..start,
                    items: *items,
                }
            });
            Payload::list(body, Headers::new(), parts.collect(), list)
        }
        let (mut outbox, account) = outbox();
        account.accept(15);
        outbox.push(list(&[(b"a", 1), (b"bb", 2), (b"ccccc", 4), (b"d", 8)]));
        let mut seen = Vec::new();
        let limit = Duration::from_secs(1);
        outbox.deliver(&pass(Occasion::Flush, limit), limit, |payload, _| {
            seen.push(String::from_utf8_lossy(&payload.body).into_owned());
            let status = if payload.body.len() > 3 { 413 } else { 202 };
            Ok(Answer::of_status(status))
        });
        assert_eq!(seen, ["abbcccccd", "abb", "cccccd", "ccccc", "d"]);
        let health = account.snapshot();
        assert_eq!(
            (health.delivered, health.dropped.get(DropReason::TooLarge)),
            (11, 4)
        );
        assert_eq!(health.retries, 0, "a half is a request of its own");
        assert!(balanced(&account));
    }

    #[test]
    fn a_payload_that_the_receiver_fails_on_for_long_makes_way_for_the_next() {
        let (mut outbox, account) = outbox();
        for items in [1, 2] {
            outbox.push(payload(&account, 1, items));
            outbox.waiting[items as usize - 1].since -= LONGEST_STAY + Duration::from_secs(1);
        }
        let limit = Duration::from_secs(1);
        let absent = |_: &mut Payload, _| Err(SendError::NotListening(String::new()));
        outbox.deliver(&pass(Occasion::Flush, limit), limit, absent);
        assert_eq!(account.snapshot().buffered, 3, "nothing looked at it");
        let busy = |_: &mut Payload, _| Ok(Answer::of_status(503));
        outbox.deliver(&pass(Occasion::Flush, limit), limit, busy);
        let health = account.snapshot();
        assert_eq!(
            (health.dropped.get(DropReason::Expired), health.buffered),
            (1, 2)
        );
        assert!(balanced(&account));
    }

    #[test]
    fn a_connection_that_breaks_costs_one_more_try_at_once() {
        let (mut outbox, account) = outbox();
        outbox.push(payload(&account, 1, 1));
        let limit = Duration::from_secs(1);
        let mut answers = [
            Err(SendError::Torn(String::new())),
            Ok(Answer::of_status(200)),
        ]
        .into_iter();
        let again = outbox.deliver(&pass(Occasion::Due, limit), limit, |_, _| {
            answers.next().unwrap()
        });
        assert_eq!(again, None);
        let health = account.snapshot();
        assert_eq!(
            (health.delivered, health.requests, health.retries),
            (1, 2, 1)
        );
    }

    #[test]
    fn a_payload_may_be_encoded_anew_while_it_waits() {
        let (mut outbox, account) = outbox();
        outbox.push(payload(&account, 10, 7));
        let limit = Duration::from_secs(1);
        outbox.deliver(&pass(Occasion::Flush, limit), limit, |payload, _| {
            *payload = Payload::new(vec![0; 50], payload.headers().clone(), 7);
            Ok(Answer::of_status(503))
        });
        assert_eq!((outbox.bytes, account.snapshot().buffered), (50, 7));
        outbox.deliver(&pass(Occasion::Flush, limit), limit, |payload, _| {
            assert_eq!(payload.body().len(), 50);
            Ok(Answer::of_status(200))
        });
        let health = account.snapshot();
        assert_eq!((outbox.bytes, health.delivered, health.bytes), (0, 7, 50));
        assert!(balanced(&account));
    }

    #[test]
    fn the_memory_of_what_was_delivered_is_there_for_who_asks_and_what_waits_has_none_to_spare() {
        let (mut outbox, account) = outbox();
        let roomy = || {
            account.accept(1);
            let mut body = Vec::with_capacity(90);
            body.push(1);
            Payload::new(body, Headers::new(), 1)
        };
        let limit = Duration::from_secs(1);
        let answer = |outbox: &mut Outbox, status| {
            outbox.deliver(&pass(Occasion::Flush, limit), limit, |_, _| {
                Ok(Answer::of_status(status))
            });
        };
        outbox.push(roomy());
        answer(&mut outbox, 200);
        assert_eq!(outbox.take_spare().capacity(), 0, "nobody had asked");
        outbox.push(roomy());
        assert_eq!(outbox.bytes, 90);
        answer(&mut outbox, 200);
        assert_eq!((outbox.take_spare().capacity(), outbox.bytes), (90, 0));
        outbox.push(roomy());
        answer(&mut outbox, 503);
        assert_eq!(outbox.bytes, 1);
        outbox.push(roomy());
        assert_eq!(outbox.bytes, 2);
        assert_eq!(outbox.take_spare().capacity(), 0);
        outbox.close();
        assert!(balanced(&account));
    }

    #[test]
    fn only_those_who_wait_shorten_a_request() {
        let (mut outbox, account) = outbox();
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(30));
        for (occasion, shortened) in [
            (Occasion::Due, false),
            (Occasion::Flush, true),
            (Occasion::Shutdown, true),
        ] {
            outbox.push(payload(&account, 1, 1));
            outbox.deliver(&pass(occasion, short), long, |_, limit| {
                assert_eq!(limit <= short, shortened, "{occasion:?}");
                Ok(Answer::of_status(200))
            });
        }
        assert_eq!(account.snapshot().delivered, 3);
    }

    #[test]
    fn a_shutdown_does_not_wait_for_a_receiver_that_asks_for_more_time_than_there_is() {
        let (mut outbox, account) = outbox();
        outbox.push(payload(&account, 1, 1));
        let start = Instant::now();
        let limit = Duration::from_secs(30);
        outbox.deliver(&pass(Occasion::Shutdown, limit), limit, |_, _| {
            Ok(Answer::of_status(429).with_header("retry-after", "31"))
        });
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(account.snapshot().requests, 1);
    }

    thread_local! {
        static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    struct Lines;

    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            assert_eq!(record.target(), "datadog");
            LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
        }

        fn flush(&self) {}
    }

    /// What `work` logs.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        // Each test has a thread of its own.
        let _ = log::set_logger(&Lines);
        log::set_max_level(log::LevelFilter::Warn);
        LINES.take();
        work();
        LINES.take()
    }

    #[test]
    fn a_wrong_key_is_logged_once_and_anything_else_once_a_minute() {
        let (mut outbox, account) = outbox();
        let limit = Duration::from_secs(1);
        let mut post = |status, a_minute_later: bool| {
            if a_minute_later {
                outbox.refusals = Limiter::default();
                outbox.failures = Limiter::default();
            }
            outbox.push(payload(&account, 1, 3));
            outbox.deliver(&pass(Occasion::Flush, limit), limit, |_, _| {
                Ok(Answer::of_status(status))
            });
        };
        let keys = logged(|| {
            [403, 403, 401, 403]
                .into_iter()
                .for_each(|status| post(status, true))
        });
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert!(keys[0].contains("3 items dropped") && keys[0].contains("DD_API_KEY"));
        // A key that was right for a while.
        post(202, true);
        assert_eq!(logged(|| post(403, true)).len(), 1);

        let refusals = logged(|| {
            [400, 400, 404]
                .into_iter()
                .for_each(|status| post(status, false))
        });
        assert_eq!(refusals.len(), 0, "within the minute of the last line");
        let refusals = logged(|| [400, 400].into_iter().for_each(|status| post(status, true)));
        assert_eq!(refusals.len(), 2, "{refusals:?}");
        let failures = logged(|| {
            [503, 503, 500]
                .into_iter()
                .for_each(|status| post(status, false))
        });
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(balanced(&account));
    }

    #[test]
    fn a_shutdown_ends_where_its_requests_are_ended() {
        let (mut outbox, account) = outbox();
        outbox.push(payload(&account, 1, 1));
        let limit = Duration::from_secs(30);
        outbox.deliver(&pass(Occasion::Shutdown, limit), limit, |_, _| {
            Err(SendError::Interrupted(String::new()))
        });
        let health = account.snapshot();
        assert_eq!((health.requests, health.buffered), (1, 1));
    }
}
