//! The samples of one context between two flushes: all of them up to a limit, then an even choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The most samples kept for one context.
pub(crate) const PER_CONTEXT: usize = 1024;

/// How many more samples, or as many bytes of set members, all contexts of a client may hold.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<AtomicIsize>);

/// Samples, and how many values they stand for.
///
/// Beyond the limit it is a reservoir: each value seen is in it with the same probability.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    values: Vec<f64>,
    seen: u64,
    /// Since not every value was kept any more; not where others were merged in.
    choice: Option<Choice>,
}

/// Which values a full reservoir takes: Li's algorithm L, which draws how many to pass over, so that those cost nothing.
#[derive(Debug)]
struct Choice {
    /// The number of the next one to take, from 0.
    next: u64,
    /// The largest of as many random numbers as there are values kept, had each value seen one of its own and were those
    /// with the smallest kept.
    largest: f64,
}

impl Budget {
    pub(crate) fn new(samples: isize) -> Self {
        Self(Arc::new(AtomicIsize::new(samples)))
    }

    pub(crate) fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn charge(&self, samples: usize) {
        self.0.fetch_sub(samples as isize, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, samples: usize) {
        self.0.fetch_add(samples as isize, Ordering::Relaxed);
    }
}

impl Samples {
    pub(crate) fn push(&mut self, value: f64, budget: &Budget) {
        // The first one is kept whatever the budget says, so that no context is silent.
        let room = self.values.is_empty() || self.values.len() < PER_CONTEXT && budget.has_room();
        let number = self.seen;
        let exact = self.is_exact();
        self.seen += 1;
        if exact && room {
            budget.charge(1);
            self.values.push(value);
            return;
        }
        let kept = self.values.len();
        if exact {
            self.choice = Some(Choice::start(number, kept));
        }
        let place = match &mut self.choice {
            Some(choice) if choice.next == number => {
                choice.advance(kept);
                fastrand::usize(0..kept)
            }
            Some(_) => return,
            // Vitter's algorithm R, which needs to know nothing of the values before.
            None => fastrand::u64(0..self.seen) as usize,
        };
        if let Some(kept) = self.values.get_mut(place) {
            *kept = value;
        }
    }

    /// Passes over values that would not be kept, `most` at most. Returns how many.
    pub(crate) fn pass_over(&mut self, most: u64) -> u64 {
        let Some(choice) = &self.choice else { return 0 };
        let passed = (choice.next - self.seen).min(most);
        self.seen += passed;
        passed
    }

    /// Whether every value seen is there. Once one is not, the number kept stays as it is.
    fn is_exact(&self) -> bool {
        self.seen == self.values.len() as u64
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// How many of the values seen are kept: the sample rate on the wire.
    pub(crate) fn rate(&self) -> f64 {
        self.values.len() as f64 / self.seen as f64
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self, budget: &Budget) -> Self {
        budget.give_back(self.values.len());
        std::mem::take(self)
    }

    /// Splits off the first `count` samples, with their share of the values seen.
    pub(crate) fn split_first(&mut self, count: usize) -> Self {
        if count >= self.values.len() {
            return std::mem::take(self);
        }
        let seen = self.seen * count as u64 / self.values.len() as u64;
        self.seen -= seen;
        let rest = self.values.split_off(count);
        Self {
            values: std::mem::replace(&mut self.values, rest),
            seen,
            choice: None,
        }
    }

    /// Takes back samples that could not be sent.
    pub(crate) fn merge(&mut self, mut other: Self, budget: &Budget) {
        if other.seen == 0 {
            return;
        }
        budget.give_back(self.values.len());
        let room = (self.values.len() + other.values.len()).min(PER_CONTEXT);
        // Each place is drawn from one side by the number of values that side still stands for. Where that side has
        // none left to draw, fewer places keep the choice even.
        let (mut mine, mut others) = (self.seen, other.seen);
        let mut merged = Vec::with_capacity(room);
        while merged.len() < room {
            let from_me = fastrand::u64(0..mine + others) < mine;
            let (side, left) = if from_me {
                (&mut self.values, &mut mine)
            } else {
                (&mut other.values, &mut others)
            };
            if side.is_empty() {
                break;
            }
            merged.push(side.swap_remove(fastrand::usize(0..side.len())));
            *left -= 1;
        }
        budget.charge(merged.len());
        self.seen += other.seen;
        self.values = merged;
        self.choice = None;
    }
}

impl Choice {
    /// For the value `number` and those behind it, where `kept` are kept.
    fn start(number: u64, kept: usize) -> Self {
        let mut choice = Self {
            next: number,
            largest: 1.0,
        };
        choice.draw(kept);
        choice
    }

    fn advance(&mut self, kept: usize) {
        self.next += 1;
        self.draw(kept);
    }

    fn draw(&mut self, kept: usize) {
        // Above 0, so that it has a logarithm.
        let random = || 1.0 - fastrand::f64();
        self.largest *= (random().ln() / kept as f64).exp();
        let passed = (random().ln() / (-self.largest).ln_1p()).floor();
        self.next = self.next.saturating_add(passed as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = u32>, budget: &Budget) -> Samples {
        let mut samples = Samples::default();
        for value in values {
            samples.push(f64::from(value), budget);
        }
        samples
    }

    #[test]
    fn everything_is_kept_up_to_the_limit() {
        let budget = Budget::new(10_000);
        let mut kept = samples(0..1024, &budget);
        assert_eq!((kept.values().len(), kept.rate()), (1024, 1.0));
        kept.push(5.0, &budget);
        assert_eq!((kept.values().len(), kept.seen()), (1024, 1025));
        assert!(kept.rate() < 1.0);
    }

    #[test]
    fn every_value_has_the_same_chance() {
        let budget = Budget::new(isize::MAX);
        let mut kept_of_tenth = [0u32; 10];
        for _ in 0..20 {
            let mut kept = samples(0..10_000, &budget);
            for value in kept.take(&budget).values() {
                kept_of_tenth[(value / 1000.0) as usize] += 1;
            }
        }
        // 2048 are expected of each; 8 standard deviations are 345.
        let even = |count: &u32| (1703..2393).contains(count);
        assert!(kept_of_tenth.iter().all(even), "{kept_of_tenth:?}");
    }

    #[test]
    fn what_is_passed_over_is_what_would_not_be_kept() {
        let budget = Budget::new(10_000);
        let mut kept = samples(0..2000, &budget);
        let (mut passed, mut taken) = (0, 0);
        while kept.seen() < 100_000 {
            passed += kept.pass_over(100);
            let value = kept.seen() as f64;
            kept.push(value, &budget);
            taken += u32::from(kept.values().contains(&value));
        }
        assert!(passed > 90_000, "{passed}");
        // 1024 · ln(100,000 / 2000) = 4006 are expected; 8 standard deviations are 500.
        assert!((3500..4510).contains(&taken), "{taken}");
        assert_eq!(kept.values().len(), 1024);
    }

    #[test]
    fn a_spent_budget_leaves_a_choice_and_comes_back() {
        let budget = Budget::new(2);
        let mut one = samples(0..100, &budget);
        let other = samples(0..50, &budget);
        assert_eq!((one.values().len(), one.seen()), (2, 100));
        assert_eq!((other.values().len(), other.seen()), (1, 50));
        drop(one.take(&budget));
        assert_eq!(
            samples(0..100, &budget).values().len(),
            1,
            "one is still lent"
        );
    }

    #[test]
    fn splits_share_the_values_seen() {
        let budget = Budget::new(10_000);
        let mut rest = samples(0..4096, &budget);
        let first = rest.split_first(256);
        assert_eq!((first.values().len(), first.seen()), (256, 1024));
        assert_eq!((rest.values().len(), rest.seen()), (768, 3072));
        assert_eq!(rest.split_first(1000).seen(), 3072);
        assert_eq!((rest.values().len(), rest.seen()), (0, 0));
    }

    #[test]
    fn what_comes_back_is_exact_where_it_fits_and_weighted_where_not() {
        let budget = Budget::new(10_000);
        let mut small = samples(0..10, &budget);
        let failed = small.take(&budget);
        small.push(100.0, &budget);
        small.merge(failed, &budget);
        let mut values = small.values().to_vec();
        values.sort_by(f64::total_cmp);
        assert_eq!(values[..10], (0..10).map(f64::from).collect::<Vec<_>>());
        assert_eq!((values[10], small.rate()), (100.0, 1.0));

        // Three times as many zeros as ones.
        let mut mixed = samples((0..9000).map(|_| 0), &budget);
        mixed.merge(samples((0..3000).map(|_| 1), &budget), &budget);
        assert_eq!((mixed.values().len(), mixed.seen()), (1024, 12_000));
        let ones = mixed.values().iter().filter(|value| **value == 1.0).count();
        // 256 are expected; 8 standard deviations are 111.
        assert!((145..367).contains(&ones), "{ones}");
    }
}
