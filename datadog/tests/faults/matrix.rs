//! Every fault, for every signal, on each of its transports.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use datadog::{DDClient, SignalHealth, SignalKind};
use datadog_local_agent::LocalAgent;

use crate::fault::{Fate, Trouble};
use crate::restarts::only_profiler;
use crate::subject::{LIMIT, Subject, balanced, waits};
use crate::table;

/// Items made in each of the three phases of a cell: before, while and after the fault.
const ITEMS: u64 = 40;

/// Cells at work at the same time. They wait most of the time.
const THREADS: usize = 8;

struct Cell {
    trouble: Trouble,
    subject: Subject,
}

#[test]
fn every_fault_on_every_signal_and_transport() {
    let cells = || {
        Trouble::ALL.into_iter().flat_map(|trouble| {
            let cell = move |subject| Cell { trouble, subject };
            let concerned = Subject::ALL.into_iter();
            concerned
                .filter(move |subject| trouble.concerns(*subject))
                .map(cell)
        })
    };
    // A process has one profiler, so that profiles wait in a queue of their own.
    let (profiles, others): (Vec<_>, Vec<_>) =
        cells().partition(|cell| cell.subject.kind == SignalKind::Profiles);
    let others = Mutex::new(others.into_iter());
    thread::scope(|scope| {
        scope.spawn(|| {
            for cell in &profiles {
                let _profiler = only_profiler();
                cell.run();
            }
        });
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(cell) = next(&others) {
                    cell.run();
                }
            });
        }
    });
    write_table();
}

fn next(cells: &Mutex<impl Iterator<Item = Cell>>) -> Option<Cell> {
    cells.lock().unwrap().next()
}

impl Cell {
    fn run(&self) {
        let Self { trouble, subject } = self;
        let (trouble, subject) = (*trouble, *subject);
        let agent = LocalAgent::start().unwrap();
        let client = subject.start(&agent);
        subject.make(&client, ITEMS);
        self.deliver_all(&client);
        let before = subject.health(&client);

        let fault = trouble.begin(&agent, subject);
        self.make_without_waiting(&client);
        // The silent ones use up whatever they are given.
        let limit = match trouble {
            Trouble::NeverAnswers | Trouble::Full => Duration::from_millis(500),
            _ => LIMIT,
        };
        subject.flush(&client, limit);
        self.check_fate(&before, &self.at_rest(&client));

        fault.end(&agent);
        self.make_without_waiting(&client);
        self.deliver_all(&client);
        let end = self.at_rest(&client);
        let unseen = match trouble.fate(subject) {
            Fate::LostUnseen => ITEMS,
            _ => 0,
        };
        agent
            .wait_for(LIMIT, |got| subject.arrived(got) == end.delivered - unseen)
            .unwrap_or_else(|error| panic!("{self}: {end:?}\n{error}"));
        if let Fate::Dropped(reason) = trouble.fate(subject) {
            assert_eq!(
                end.dropped.total(),
                end.dropped.get(reason),
                "{self}: {end:?}"
            );
        } else {
            assert_eq!(end.dropped.total(), 0, "{self}: {end:?}");
        }
    }

    /// Makes items as a program does, which must not wait for anything.
    fn make_without_waiting(&self, client: &DDClient) {
        let (start, waited) = (Instant::now(), waits());
        self.subject.make(client, ITEMS);
        let (time, waited) = (start.elapsed(), waits() - waited);
        // Not one wait an item, and far less than any time limit of the network. Locks that are held for
        // nanoseconds and the memory of a busy process may cost a wait now and then.
        assert!(waited < ITEMS / 2, "{self}: {waited} waits");
        assert!(time < Duration::from_secs(2), "{self}: {time:?}");
    }

    /// Flushes until nothing is left.
    fn deliver_all(&self, client: &DDClient) {
        let end = Instant::now() + LIMIT;
        self.subject.flush(client, LIMIT);
        while self.subject.health(client).buffered > 0 {
            assert!(Instant::now() < end, "{self}: {}", client.health());
            client.flush(Duration::from_secs(5));
        }
    }

    /// The account when the worker has counted what it did, and noted why it can't do more.
    fn at_rest(&self, client: &DDClient) -> SignalHealth {
        let end = Instant::now() + LIMIT;
        loop {
            let health = self.subject.health(client);
            let kept_or_dropped = health.buffered + health.dropped.total();
            if balanced(&health) && (kept_or_dropped == 0 || health.last_error.is_some()) {
                return health;
            }
            assert!(Instant::now() < end, "{self}: {health:?}");
            thread::yield_now();
        }
    }

    fn check_fate(&self, before: &SignalHealth, during: &SignalHealth) {
        let made = during.accepted - before.accepted;
        assert!(made > 0, "{self}: {during:?}");
        let expected = match self.trouble.fate(self.subject) {
            Fate::Delivered | Fate::LostUnseen => (made, 0, 0),
            Fate::Kept => (0, made, 0),
            Fate::Dropped(_) => (0, 0, made),
        };
        let found = (
            during.delivered - before.delivered,
            during.buffered,
            during.dropped.total(),
        );
        assert_eq!(found, expected, "{self}: {during:?}");
        if let Fate::Dropped(reason) = self.trouble.fate(self.subject) {
            assert_eq!(during.dropped.get(reason), made, "{self}: {during:?}");
        }
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, the receiver {}", self.subject, self.trouble)
    }
}

/// What the cells have just shown: each of them fails where its fate is another one.
fn write_table() {
    let mut header = vec!["the receiver".to_owned()];
    header.extend(Subject::ALL.map(|subject| subject.to_string()));
    let rows = Trouble::ALL.map(|trouble| {
        let fates = Subject::ALL.map(|subject| {
            if trouble.concerns(subject) {
                trouble.fate(subject).to_string()
            } else {
                "–".to_owned()
            }
        });
        [vec![trouble.to_string()], fates.to_vec()].concat()
    });
    table::write("faults.md", &header, &rows);
}
