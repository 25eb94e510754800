//! What sampling costs two busy threads, fine enough for parts of a thousand.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::sampler::Sampler;
use crate::work::{process_seconds, thread_seconds, work};

/// For the readers of the table.
pub(crate) const HOW: &str = "The CPU time is that of the busy threads and of the sampler's own. What is added to the busy ones is the median of 60 \
     pairs, with and without, in turns; of each half the mean of the middle ones of 20 pieces of 20 ms, by the clock of their \
     thread. The sampler's own is what the process used beside them in 5 s, and of one report in each 60 s, as profiles are \
     uploaded. What comes once, above all reading debug information, has a row of its own.";

const PAIRS: usize = 60;

/// Of each half of a pair, on each of two threads.
const PIECES: usize = 10;
const PIECE_MILLIS: u64 = 20;

/// How long a profile takes in production.
const PERIOD_SECONDS: f64 = 60.0;

pub(crate) fn print(sampler: &str) {
    let busy = Busy::start();
    let [low, median, high] = added_percent(sampler, &busy);
    let own = Own::measure(sampler, &busy);
    let percent = own.percent();
    println!(
        "{:+.2} % ({:+.2} to {:+.2})",
        median + percent,
        low + percent,
        high + percent
    );
    println!("{percent:+.3} %");
    println!("{:.0} ms", 1e3 * own.once);
}

/// The median of what sampling adds to the CPU time of the threads, between the limits of its 95 % confidence interval.
fn added_percent(sampler: &str, busy: &Busy) -> [f64; 3] {
    let with = || {
        let sampling = Sampler::start(sampler);
        // What starts with it, beside it, is not part of it.
        thread::sleep(Duration::from_millis(20));
        let time = busy.piece_seconds(PIECES);
        drop(sampling);
        time
    };
    let without = || busy.piece_seconds(PIECES);
    with();
    let mut differences: Vec<f64> = (0..PAIRS)
        .map(|pair| {
            let (with, without) = if pair % 2 == 0 {
                let with = with();
                (with, without())
            } else {
                let without = without();
                (with(), without)
            };
            100.0 * (with / without - 1.0)
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    // How many of so many coins show heads, with 95 %.
    let spread = (1.96 * (PAIRS as f64).sqrt() / 2.0).ceil() as usize;
    let middle = PAIRS / 2;
    [middle - spread, middle, middle + spread].map(|rank| differences[rank])
}

/// What the sampler uses beside the threads that it samples, in seconds of CPU time.
struct Own {
    /// Of each second of the busy threads' time.
    share: f64,
    report: f64,
    once: f64,
}

impl Own {
    fn measure(sampler: &str, busy: &Busy) -> Self {
        let start = process_seconds();
        let sampling = Sampler::start(sampler);
        let started = process_seconds();
        let busy_seconds = busy.seconds(250);
        let worked = process_seconds();
        sampling.make_profile();
        let reported = process_seconds();
        busy.seconds(50);
        let again = process_seconds();
        sampling.make_profile();
        Self {
            share: (worked - started) / busy_seconds - 1.0,
            report: process_seconds() - again,
            once: (reported - worked) + (started - start),
        }
    }

    /// Of the busy threads' time, with as many of them as there are.
    fn percent(&self) -> f64 {
        100.0 * (self.share + self.report / PERIOD_SECONDS / Busy::THREADS as f64)
    }
}

/// Two threads that work when they are told to.
struct Busy {
    orders: Vec<Sender<usize>>,
    times: Receiver<Vec<f64>>,
}

impl Busy {
    const THREADS: usize = 2;

    fn start() -> Self {
        let (done, times) = channel();
        let orders = (0..Self::THREADS)
            .map(|_| {
                let (order, orders) = channel::<usize>();
                let done = done.clone();
                thread::spawn(move || {
                    for pieces in orders {
                        let times = (0..pieces).map(|_| {
                            let before = thread_seconds();
                            work(PIECE_MILLIS, 30);
                            thread_seconds() - before
                        });
                        done.send(times.collect()).unwrap();
                    }
                });
                order
            })
            .collect();
        Self { orders, times }
    }

    /// The times of so many pieces on each thread.
    fn pieces(&self, count: usize) -> Vec<f64> {
        self.orders
            .iter()
            .for_each(|order| order.send(count).unwrap());
        self.times.iter().take(Self::THREADS).flatten().collect()
    }

    fn seconds(&self, pieces: usize) -> f64 {
        self.pieces(pieces).iter().sum()
    }

    /// What a piece takes: the mean of the middle half, because of what else the machine does now and then.
    fn piece_seconds(&self, pieces: usize) -> f64 {
        let mut times = self.pieces(pieces);
        times.sort_by(f64::total_cmp);
        let middle = &times[times.len() / 4..times.len() * 3 / 4];
        middle.iter().sum::<f64>() / middle.len() as f64
    }
}
