//! What a context owes the server.

use std::collections::BTreeMap;

use crate::samples::{Budget, Samples};

/// What was submitted and not delivered.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Values submitted.
    pub(crate) items: u64,
    /// Their sum, of a count.
    pub(crate) sum: i64,
    /// The samples among them.
    pub(crate) samples: Samples,
    /// The members of a set, each with how often it was submitted.
    pub(crate) members: BTreeMap<Box<str>, u64>,
}

impl Owed {
    /// Takes everything out.
    pub(crate) fn take(&mut self, budget: &Budget) -> Self {
        Self {
            items: std::mem::take(&mut self.items),
            sum: std::mem::take(&mut self.sum),
            samples: self.samples.take(budget),
            members: std::mem::take(&mut self.members),
        }
    }

    /// Adds what another context of the same kind without samples owes.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.items += other.items;
        self.sum = self.sum.wrapping_add(other.sum);
        for (member, times) in other.members {
            *self.members.entry(member).or_default() += times;
        }
    }

    /// Splits off the first samples, with their share of the values.
    pub(crate) fn split_first_samples(&mut self, count: usize) -> Self {
        let samples = self.samples.split_first(count);
        let items = samples.seen();
        self.items -= items;
        Self {
            items,
            samples,
            ..Self::default()
        }
    }

    /// Splits off one member of a set.
    pub(crate) fn split_first_member(&mut self) -> Option<(Box<str>, Self)> {
        let (member, times) = self.members.pop_first()?;
        self.items -= times;
        let part = Self {
            items: times,
            members: BTreeMap::from([(member.clone(), times)]),
            ..Self::default()
        };
        Some((member, part))
    }
}
