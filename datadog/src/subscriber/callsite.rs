//! What a thread knows of the places that its spans come from, so that their names are looked at once.

use std::cell::Cell;

use tracing_core::Metadata;

use super::fields::has_meaning;
use super::rules::{Rule, is_inner_life};

/// What the names of a span say about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callsite {
    /// Whether its spans are left out.
    pub(super) is_inner_life: bool,
    pub(super) rule: Option<&'static Rule>,
    /// Whether its spans are within those of the library's operations.
    pub(super) is_inner: bool,
    /// Whether its fields are tags, and nothing else.
    pub(super) is_plain: bool,
    /// Whether its fields say a span's identity as those of `tracing-datadog` do.
    pub(super) is_of_bridge: bool,
    /// Whether no two of its fields go by the same key.
    pub(super) keys_differ: bool,
}

/// How many a thread remembers. One that has the place of another is looked at again.
const MOST: usize = 128;

thread_local! {
    /// With the address of the metadata, which is 0 nowhere.
    static KNOWN: [Cell<(usize, Callsite)>; MOST] =
        const { [const { Cell::new((0, Callsite::NONE)) }; MOST] };
}

impl Callsite {
    const NONE: Self = Self {
        is_inner_life: false,
        rule: None,
        is_inner: false,
        is_plain: false,
        is_of_bridge: false,
        keys_differ: false,
    };

    #[inline]
    pub(super) fn of(metadata: &'static Metadata<'static>) -> Self {
        let address = std::ptr::from_ref(metadata) as usize;
        // They are aligned, and of some 100 bytes.
        let place = (address >> 4 ^ address >> 11) % MOST;
        let known = KNOWN.try_with(|known| {
            let (of, callsite) = known[place].get();
            if of == address {
                return callsite;
            }
            let callsite = Self::read(metadata);
            known[place].set((address, callsite));
            callsite
        });
        known.unwrap_or_else(|_| Self::read(metadata))
    }

    #[cold]
    fn read(metadata: &'static Metadata<'static>) -> Self {
        let rule = Rule::of(metadata.target());
        let keys = metadata.fields().iter().filter_map(|field| match rule {
            Some(rule) => rule.key(field.name()),
            None => Some(field.name()),
        });
        let mut sorted: Vec<_> = keys.collect();
        sorted.sort_unstable();
        let is_of_bridge = names_identity(&sorted);
        Self {
            is_inner_life: is_inner_life(metadata.target(), metadata.name()),
            rule,
            is_inner: rule.is_some_and(|rule| !rule.is_operation(metadata.name())),
            is_plain: rule.is_none() && !is_of_bridge && !sorted.iter().any(|key| has_meaning(key)),
            is_of_bridge,
            keys_differ: sorted.windows(2).all(|pair| pair[0] != pair[1]),
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
