//! The samples of one context between two flushes: all of them up to a limit, then an even choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The most samples kept for one context.
pub(crate) const PER_CONTEXT: usize = 1024;

/// How many more samples all contexts of a client may hold.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<AtomicIsize>);

/// Samples, and how many values they stand for.
///
/// Beyond the limit it is a reservoir (Vitter's algorithm R): each value seen is in it with the same probability.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    values: Vec<f64>,
    seen: u64,
}

impl Budget {
    pub(crate) fn new(samples: isize) -> Self {
        Self(Arc::new(AtomicIsize::new(samples)))
    }

    fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn charge(&self, samples: usize) {
        self.0.fetch_sub(samples as isize, Ordering::Relaxed);
    }

    fn give_back(&self, samples: usize) {
        self.0.fetch_add(samples as isize, Ordering::Relaxed);
    }
}

impl Samples {
    pub(crate) fn push(&mut self, value: f64, budget: &Budget) {
        let exact = self.is_exact();
        self.seen += 1;
        // The first one is kept whatever the budget says, so that no context is silent.
        let room = self.values.is_empty() || self.values.len() < PER_CONTEXT && budget.has_room();
        if exact && room {
            budget.charge(1);
            self.values.push(value);
            return;
        }
        let place = fastrand::u64(0..self.seen) as usize;
        if let Some(kept) = self.values.get_mut(place) {
            *kept = value;
        }
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
        }
    }

    /// Takes back samples that could not be sent.
    pub(crate) fn merge(&mut self, mut other: Self, budget: &Budget) {
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
