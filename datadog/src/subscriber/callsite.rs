//! What a thread knows of the places that its spans come from, so that their names are looked at once.

use std::cell::Cell;

use tracing_core::Metadata;

use super::fields::has_meaning;
use super::rules::{Rule, is_inner_life};

/// What the names of a span say about it. It goes in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callsite {
    pub(super) rule: Option<&'static Rule>,
    facts: usize,
}

/// How many a thread remembers. One that has the place of another is looked at again.
const MOST: usize = 128;

thread_local! {
    /// With the address of the metadata, which is 0 nowhere.
    static KNOWN: [Known; MOST] = const { [const { Known::nothing() }; MOST] };
}

struct Known {
    address: Cell<usize>,
    rule: Cell<Option<&'static Rule>>,
    facts: Cell<usize>,
}

impl Known {
    const fn nothing() -> Self {
        Self {
            address: Cell::new(0),
            rule: Cell::new(None),
            facts: Cell::new(0),
        }
    }
}

impl Callsite {
    const INNER_LIFE: usize = 1;
    const PLAIN: usize = 2;
    const OF_BRIDGE: usize = 4;
    const KEYS_DIFFER: usize = 8;
    const INNER: usize = 16;

    #[inline]
    pub(super) fn of(metadata: &'static Metadata<'static>) -> Self {
        let address = std::ptr::from_ref(metadata) as usize;
        // They are aligned, and of some 100 bytes.
        let place = (address >> 4 ^ address >> 11) % MOST;
        let known = KNOWN.try_with(|known| {
            let known = &known[place];
            if known.address.get() != address {
                let callsite = Self::read(metadata);
                known.address.set(address);
                known.rule.set(callsite.rule);
                known.facts.set(callsite.facts);
            }
            Self {
                rule: known.rule.get(),
                facts: known.facts.get(),
            }
        });
        known.unwrap_or_else(|_| Self::read(metadata))
    }

    /// Whether its spans are left out.
    #[inline]
    pub(super) fn is_inner_life(self) -> bool {
        self.facts & Self::INNER_LIFE != 0
    }

    /// Whether its spans are within those of the library's operations.
    pub(super) fn is_inner(self) -> bool {
        self.facts & Self::INNER != 0
    }

    /// Whether its fields are tags, and nothing else.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.facts & Self::PLAIN != 0
    }

    /// Whether its fields say a span's identity as those of `tracing-datadog` do.
    pub(super) fn is_of_bridge(self) -> bool {
        self.facts & Self::OF_BRIDGE != 0
    }

    /// Whether no two of its fields go by the same key.
    #[inline]
    pub(super) fn keys_differ(self) -> bool {
        self.facts & Self::KEYS_DIFFER != 0
    }

    #[cold]
    #[inline(never)]
    fn read(metadata: &'static Metadata<'static>) -> Self {
        let rule = Rule::of_span(metadata.target(), metadata.name());
        let keys = metadata.fields().iter().filter_map(|field| match rule {
            Some(rule) => rule.key(field.name()),
            None => Some(field.name()),
        });
        let mut sorted: Vec<_> = keys.collect();
        sorted.sort_unstable();
        let is_of_bridge = names_identity(&sorted);
        let is_plain =
            rule.is_none() && !is_of_bridge && !sorted.iter().any(|key| has_meaning(key));
        let facts = [
            (
                is_inner_life(metadata.target(), metadata.name()),
                Self::INNER_LIFE,
            ),
            (is_plain, Self::PLAIN),
            (
                rule.is_some_and(|rule| !rule.is_operation(metadata.name())),
                Self::INNER,
            ),
            (is_of_bridge, Self::OF_BRIDGE),
            (
                sorted.windows(2).all(|pair| pair[0] != pair[1]),
                Self::KEYS_DIFFER,
            ),
        ];
        let facts = facts.iter().filter(|(is_so, _)| *is_so);
        Self {
            rule,
            facts: facts.map(|(_, fact)| fact).sum(),
        }
    }
}

/// Whether a span with these fields is written for `tracing-datadog`, whose fields `operation`, `resource`, `service` and
/// `span.type` are the span's own (its README, "Span tag semantics"). Without the last, which no argument of a function is
/// called, these words are tags of the program's: `#[instrument] fn authorize(operation: &str, resource: &str)` tells what
/// it is asked. Fields that are to be recorded later count too.
fn names_identity(keys: &[&str]) -> bool {
    let words = ["operation", "resource", "service"];
    keys.contains(&"span.type") && words.iter().any(|word| keys.contains(word))
}
