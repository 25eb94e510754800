//! The clock of spans. Callers only read a counter; the worker turns what they read into times.
//!
//! On x86-64 Linux the counter is the processor's time stamp counter, where the kernel trusts it: to read it takes a
//! third of what the system's clock takes. Elsewhere it is the system's monotonic clock, in nanoseconds. As callers
//! convert nothing, there is no calibration to wait for: the worker measures the counter's rate against the monotonic
//! clock, over all the time since the start, so that the rate gets the more exact the longer spans may be.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A reading of the counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(u64);

impl Ticks {
    pub(crate) const ZERO: Self = Self(0);

    #[inline]
    pub(crate) fn now() -> Self {
        match SOURCE.load(Ordering::Relaxed) {
            COUNTER => Self(counter::read()),
            _ => Self::of_system(),
        }
    }

    #[cold]
    #[inline(never)]
    fn of_system() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        if SOURCE.load(Ordering::Relaxed) == UNKNOWN {
            let source = if counter::is_trusted() {
                COUNTER
            } else {
                SYSTEM
            };
            SOURCE.store(source, Ordering::Relaxed);
            return Self::now();
        }
        let nanos = START.get_or_init(Instant::now).elapsed().as_nanos();
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What the readings of this process come from.
static SOURCE: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const COUNTER: u8 = 1;
const SYSTEM: u8 = 2;

/// How long a wall time holds: machines sleep, and clocks are set.
const WALL_PERIOD: Duration = Duration::from_secs(60);

/// The shortest time whose rate says something.
const LEAST: Duration = Duration::from_micros(20);

/// How far a time between two moments may be off, as the two clocks are not read at once.
const BLUR: Duration = Duration::from_micros(5);

/// A rate over so long a time is exact enough to replace any other.
const EXACT: Duration = Duration::from_secs(1);

/// Rates that differ by more, and by more than their blur, are not of two clocks that both ran all the time.
const TOLERANCE: f64 = 1e-3;

/// Turns [`Ticks`] into times. The worker has one, and [renews](Self::renew) it in every pass.
#[derive(Debug)]
pub(crate) struct TickClock {
    /// Where the rate is measured from. From here to `last`, no time failed the check.
    base: Moment,
    last: Moment,
    rate: Rate,
    /// What the last time said, if it failed the check.
    doubted: Option<Rate>,
    wall: Wall,
}

/// How fast the counter runs, and how long that was measured.
#[derive(Clone, Copy, Debug)]
struct Rate {
    nanos_per_tick: f64,
    over: Duration,
}

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    ticks: Ticks,
    time: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Wall {
    ticks: Ticks,
    unix_nanos: u64,
    read: Instant,
}

impl TickClock {
    pub(crate) fn new() -> Self {
        let base = Moment::now();
        while base.time.elapsed() < LEAST {
            std::hint::spin_loop();
        }
        let last = Moment::now();
        Self {
            base,
            last,
            rate: last.rate_since(&base).unwrap_or(Rate {
                nanos_per_tick: 1.0,
                over: LEAST,
            }),
            doubted: None,
            wall: Wall::now(),
        }
    }

    /// Measures the counter's rate anew, and once a minute the wall time; also when the clocks went apart.
    pub(crate) fn renew(&mut self) {
        let together = self.learn(Moment::now());
        if !together || self.wall.read.elapsed() >= WALL_PERIOD {
            self.wall = Wall::now();
        }
    }

    /// Learns from the time since the last moment, if it passes the check: that it says the same rate as all the time
    /// before. Tells whether it did.
    ///
    /// It does not where one clock stood still for a while, such as the monotonic one while the machine slept: the old
    /// rate holds, and what comes after the gap is measured from there. A rate that is said twice in a row is a new
    /// pace of the counter, as after a move to other hardware.
    fn learn(&mut self, now: Moment) -> bool {
        if now.ticks < self.last.ticks {
            // It began anew.
            (self.base, self.last, self.doubted) = (now, now, None);
            return false;
        }
        let Some(rate) = now.rate_since(&self.last) else {
            return true;
        };
        let passed = rate.agrees_with(&self.rate);
        if passed {
            self.doubted = None;
            self.take_rate(now);
        } else if self
            .doubted
            .is_some_and(|doubted| rate.agrees_with(&doubted))
        {
            (self.base, self.rate, self.doubted) = (self.last, rate, None);
        } else {
            (self.base, self.doubted) = (now, Some(rate));
        }
        self.last = now;
        passed
    }

    /// Takes the rate since the base, unless the one there is was measured over a longer time.
    fn take_rate(&mut self, now: Moment) {
        if let Some(rate) = now.rate_since(&self.base)
            && rate.over >= self.rate.over.min(EXACT)
        {
            self.rate = rate;
        }
    }

    /// When something started, in nanoseconds since the Unix epoch, and how long it took.
    ///
    /// For what was open while one of the clocks stood still, the counter decides: the time that a machine slept is part
    /// of it if the counter went on, and else is not.
    pub(crate) fn times(&self, start: Ticks, end: Ticks) -> (u64, u64) {
        let nanos = |from: Ticks, to: Ticks| {
            let ticks = to.0.saturating_sub(from.0);
            (ticks as f64 * self.rate.nanos_per_tick) as u64
        };
        let Wall {
            ticks, unix_nanos, ..
        } = self.wall;
        let begin = if start >= ticks {
            unix_nanos.saturating_add(nanos(ticks, start))
        } else {
            unix_nanos.saturating_sub(nanos(start, ticks))
        };
        (begin, nanos(start, end))
    }
}

impl Moment {
    fn now() -> Self {
        let (ticks, time) = together(Instant::now);
        Self { ticks, time }
    }

    /// The rate since an earlier moment; `None` where there is too little to tell.
    fn rate_since(&self, earlier: &Self) -> Option<Rate> {
        let ticks = self.ticks.0.checked_sub(earlier.ticks.0)?;
        let over = self.time.checked_duration_since(earlier.time)?;
        (ticks > 0 && over >= LEAST).then(|| Rate {
            nanos_per_tick: over.as_nanos() as f64 / ticks as f64,
            over,
        })
    }
}

impl Rate {
    fn agrees_with(&self, other: &Self) -> bool {
        let blur = |rate: &Self| BLUR.as_secs_f64() / rate.over.as_secs_f64();
        let apart = (self.nanos_per_tick / other.nanos_per_tick - 1.0).abs();
        apart <= TOLERANCE + blur(self) + blur(other)
    }
}

impl Wall {
    fn now() -> Self {
        let (ticks, time) = together(SystemTime::now);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            ticks,
            unix_nanos: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            read: Instant::now(),
        }
    }
}

/// The counter and another clock at the same moment: of some readings the one that was interrupted least.
fn together<T>(clock: impl Fn() -> T) -> (Ticks, T) {
    let read = || {
        let before = Ticks::now();
        let time = clock();
        (before, time, Ticks::now())
    };
    let (before, time, after) = (0..4).fold(read(), |best, _| {
        let next = read();
        let width = |reading: &(Ticks, T, Ticks)| reading.2.0.saturating_sub(reading.0.0);
        if width(&next) < width(&best) {
            next
        } else {
            best
        }
    });
    (Ticks(before.0 + after.0.saturating_sub(before.0) / 2), time)
}

/// The processor's time stamp counter.
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
mod counter {
    use std::fs::File;
    use std::io::Read;

    #[inline]
    pub(super) fn read() -> u64 {
        // SAFETY: every x86-64 processor has the instruction. A kernel that forbids it to programs (`PR_TSC_SIGSEGV`)
        // does so for single processes that ask for it, and the C library's clock would fail in them too.
        #[expect(
            unsafe_code,
            reason = "a third of what the system's clock takes, twice a span"
        )]
        unsafe {
            core::arch::x86_64::_rdtsc()
        }
    }

    /// Whether the kernel trusts the counter to advance evenly, in sleep states too, and to be the same on all
    /// processors: it lists no clock source that it found unstable (Linux: `kernel/time/clocksource.c`).
    pub(super) fn is_trusted() -> bool {
        let sources = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
        let is_source = begin_of(sources)
            .split_whitespace()
            .any(|source| source == "tsc");
        let first_processor = begin_of("/proc/cpuinfo");
        let has = |flag| first_processor.split_whitespace().any(|word| word == flag);
        is_source && has("constant_tsc") && has("nonstop_tsc")
    }

    /// The first part of a file; nothing if it can't be read.
    fn begin_of(path: &str) -> String {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(path) {
            let _ = file.take(8192).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(miri))))]
mod counter {
    pub(super) fn read() -> u64 {
        0
    }

    pub(super) fn is_trusted() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment of a counter with `per_milli` ticks a millisecond.
    fn moment(origin: Instant, millis: u64, ticks: u64) -> Moment {
        Moment {
            ticks: Ticks(ticks),
            time: origin + Duration::from_millis(millis),
        }
    }

    fn clock(origin: Instant) -> TickClock {
        TickClock {
            base: moment(origin, 0, 1_000_000),
            last: moment(origin, 1, 1_002_000),
            rate: Rate {
                nanos_per_tick: 500.0,
                over: Duration::from_millis(1),
            },
            doubted: None,
            wall: Wall {
                ticks: Ticks(1_000_000),
                unix_nanos: 1_700_000_000_000_000_000,
                read: origin,
            },
        }
    }

    #[test]
    fn durations_and_wall_times_are_those_of_the_system_clocks() {
        let mut clock = TickClock::new();
        let (start, began) = (Ticks::now(), Instant::now());
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        while began.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        let (end, lasted) = (Ticks::now(), began.elapsed());
        clock.renew();
        let (start, duration) = clock.times(start, end);
        let error = duration.abs_diff(lasted.as_nanos() as u64);
        assert!(error < 3_000_000, "{duration} {lasted:?}");
        assert!(start.abs_diff(wall.as_nanos() as u64) < 100_000_000);
    }

    #[test]
    fn the_rate_is_that_of_all_the_time_since_the_start() {
        let origin = Instant::now();
        let mut clock = clock(origin);
        // Each look is up to 100 ticks off, whatever the time since the last one.
        for second in 1..=3600u64 {
            let off = second * 7919 % 100;
            clock.learn(moment(
                origin,
                second * 1000,
                1_000_000 + second * 2_000_000 + off,
            ));
        }
        let hour = 3_600_000_000_000;
        let (start, duration) = clock.times(Ticks(1_000_000), Ticks(1_000_000 + 7_200_000_000));
        assert_eq!(start, 1_700_000_000_000_000_000);
        assert!(duration.abs_diff(hour) < 100_000, "{duration}");
        let (before, _) = clock.times(Ticks(0), Ticks(0));
        assert!((start - before).abs_diff(500_000_000) < 1000);
    }

    #[test]
    fn a_counter_that_changes_its_pace_or_begins_anew_is_followed() {
        let origin = Instant::now();
        let mut clock = clock(origin);
        clock.learn(moment(origin, 1000, 3_000_000));
        assert!((clock.rate.nanos_per_tick - 500.0).abs() < 0.01);
        // Twice as fast from here on.
        clock.learn(moment(origin, 2000, 7_000_000));
        clock.learn(moment(origin, 3000, 11_000_000));
        assert!((clock.rate.nanos_per_tick - 250.0).abs() < 0.01);
        clock.learn(moment(origin, 4000, 50));
        clock.learn(moment(origin, 5000, 4_000_050));
        assert!((clock.rate.nanos_per_tick - 250.0).abs() < 0.01);
        assert_eq!(clock.times(Ticks(4_000_000), Ticks(50)).1, 0);
    }
    /// After an hour of work, the clocks go apart; then come passes that are `pass` milliseconds apart.
    fn passes_after_a_gap(pass: u64, slept_ticks: u64, slept_millis: u64) {
        let origin = Instant::now();
        let mut clock = clock(origin);
        let hour = 3_600_000;
        let at = |millis: u64| 1_000_000 + millis * 2_000;
        for second in 1..=3600 {
            assert!(clock.learn(moment(origin, second * 1000, at(second * 1000))));
        }
        for number in 1..=100 {
            let millis = hour + number * pass;
            let ticks = at(millis) + slept_ticks;
            let together = clock.learn(moment(origin, millis + slept_millis, ticks));
            assert_eq!(together, number > 1, "pass {number} of {pass} ms");
            // As `renew` does.
            if !together {
                clock.wall.ticks = Ticks(ticks);
            }
            let wall = clock.wall;
            let (start, duration) = clock.times(Ticks(ticks - 20_000), Ticks(ticks));
            let wrong = duration.abs_diff(10_000_000);
            assert!(wrong < 1_000, "pass {number} of {pass} ms: {duration} ns");
            let since = ((number - 1) * pass) as i64 - 10;
            let expected = wall.unix_nanos.saturating_add_signed(since * 1_000_000);
            let wrong = start.abs_diff(expected);
            assert!(wrong < 100_000, "pass {number} of {pass} ms: {wrong} ns");
        }
    }

    #[test]
    fn durations_and_starts_are_right_in_every_pass_after_a_gap() {
        let hour = 3_600_000;
        for pass in [1, 50, 150, 250, 1000] {
            // The counter went on while the machine slept, for long and for a moment.
            passes_after_a_gap(pass, hour * 2_000, 0);
            passes_after_a_gap(pass, 20 * 2_000, 0);
            // The counter stood still.
            passes_after_a_gap(pass, 0, hour);
        }
    }

    #[test]
    fn a_gap_before_the_first_look_is_no_part_of_the_rate() {
        let origin = Instant::now();
        let mut clock = clock(origin);
        clock.rate.over = LEAST;
        clock.rate.nanos_per_tick = 510.0;
        // Asleep for a second, ten milliseconds after the start.
        assert!(!clock.learn(moment(origin, 10, 1_020_000 + 2_000_000)));
        assert!(clock.learn(moment(origin, 20, 1_040_000 + 2_000_000)));
        assert!((clock.rate.nanos_per_tick - 500.0).abs() < 0.01);
    }
}
