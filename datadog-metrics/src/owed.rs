//! What a context owes the server.

use std::collections::BTreeMap;

use crate::samples::{Budget, Samples};

/// The most members of one set between two flushes.
const MOST_MEMBERS: usize = 8192;

/// About what a member takes beside its text, in bytes.
const MEMBER_BYTES: usize = 48;

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
    /// Adds a member of a set; returns whether there was room. It is not among [`Owed::items`] yet.
    pub(crate) fn add_member(&mut self, member: &str, budget: &Budget) -> bool {
        if let Some(times) = self.members.get_mut(member) {
            *times += 1;
            return true;
        }
        // The first one is kept whatever the budget says, so that no set is silent.
        let room = self.members.is_empty() || budget.has_room();
        let fits = room && self.members.len() < MOST_MEMBERS;
        if fits {
            budget.charge(cost(member));
            self.members.insert(member.into(), 1);
        }
        fits
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self, budget: &Budget) -> Self {
        budget.give_back(self.members_cost());
        Self {
            items: std::mem::take(&mut self.items),
            sum: std::mem::take(&mut self.sum),
            samples: self.samples.take(budget),
            members: std::mem::take(&mut self.members),
        }
    }

    /// Takes back what could not be sent.
    pub(crate) fn take_back(&mut self, mut other: Self, budget: &Budget) {
        let samples = std::mem::take(&mut other.samples);
        self.samples.merge(samples, budget);
        budget.give_back(self.members_cost());
        self.absorb(other);
        budget.charge(self.members_cost());
    }

    /// Adds what another context of the same kind owes, which has been taken out of it and has no samples.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.items += other.items;
        self.sum = self.sum.saturating_add(other.sum);
        for (member, times) in other.members {
            *self.members.entry(member).or_default() += times;
        }
    }

    fn members_cost(&self) -> usize {
        self.members.keys().map(|member| cost(member)).sum()
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

/// What a member takes of the budget, which is counted in samples.
fn cost(member: &str) -> usize {
    (member.len() + MEMBER_BYTES) / size_of::<f64>()
}
