//! What each thread keeps: the contexts it used, with its own cell in each.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::Tags;
use crate::cell::Cell;
use crate::context::{Context, Kind, Value};
use crate::key::Key;
use crate::metrics::Metrics;
use crate::rate::Rate;

/// The most contexts that a thread remembers. A thread that uses more forgets them all and starts again.
const MOST_KNOWN: usize = 16_384;

/// The most bytes of names and tags that one thread remembers.
const MOST_KNOWN_BYTES: usize = 4 << 20;

thread_local! {
    static LOCAL: RefCell<Local> = const { RefCell::new(Local::new()) };
    /// By [`Slot::index`](crate::slot::Slot::index), for handles.
    static CELLS: RefCell<Vec<Option<Owned>>> = const { RefCell::new(Vec::new()) };
}

struct Local {
    /// By name and tags as the caller gave them, each with its hash, so that the table grows without a look at them.
    known: HashTable<(u64, Rc<Known>)>,
    /// Those used last, by where the caller's texts are in memory: a guess that is checked, and that saves the hash
    /// of texts that are where they were, as literals are.
    recent: [Option<Rc<Known>>; RECENT],
    /// The names and tags in the table. What was evicted still counts, until the table is emptied.
    known_bytes: usize,
    /// [`Metrics::evictions`] when the table was last cleaned.
    evictions: u64,
}

struct Known {
    /// See [`scope`].
    scope: u64,
    kind: Kind,
    key: Key,
    cell: Arc<Cell>,
    context: Arc<Context>,
}

struct Owned {
    serial: u64,
    cell: Arc<Cell>,
}

/// A power of two.
const RECENT: usize = 128;

/// Submits a value by name and tags. It comes in a closure, so that nothing has to be told at run time of what kind it is.
#[inline]
pub(crate) fn submit(
    metrics: &Metrics,
    kind: Kind,
    rate: Rate,
    name: &str,
    tags: &impl Tags,
    value: impl Fn() -> Value,
) {
    if !metrics.is_here() {
        return metrics.home().drop_forked();
    }
    let done = LOCAL.try_with(|local| {
        // Taken already where an allocator or a tag's `AsRef` submits metrics itself.
        let mut local = local.try_borrow_mut().ok()?;
        local.know(metrics, kind, rate, name, tags, |known| {
            known.context.write(&known.cell, value());
        })
    });
    if !matches!(done, Ok(Some(()))) {
        submit_without_cell(metrics, kind, rate, name, tags, value());
    }
}

#[cold]
fn submit_without_cell(
    metrics: &Metrics,
    kind: Kind,
    rate: Rate,
    name: &str,
    tags: &impl Tags,
    value: Value,
) {
    let context = metrics.look_up(kind, rate, name, tags);
    context.write_direct(value);
}

/// Finds a context by name and tags.
pub(crate) fn find(
    metrics: &Metrics,
    kind: Kind,
    rate: Rate,
    name: &str,
    tags: &impl Tags,
) -> Arc<Context> {
    LOCAL
        .try_with(|local| {
            let mut local = local.try_borrow_mut().ok()?;
            local.know(metrics, kind, rate, name, tags, |known| {
                Arc::clone(&known.context)
            })
        })
        .ok()
        .flatten()
        .unwrap_or_else(|| metrics.look_up(kind, rate, name, tags))
}

/// Does `work` on the thread's cell of the context whose slot is `index` and `serial`. Returns whether it has one.
#[inline(always)]
pub(crate) fn on_cell(index: usize, serial: u64, work: impl FnOnce(&Cell)) -> bool {
    let done = CELLS.try_with(|cells| {
        // Taken already where an allocator submits metrics itself.
        if let Ok(cells) = cells.try_borrow()
            && let Some(Some(owned)) = cells.get(index)
            && owned.serial == serial
        {
            work(&owned.cell);
            return true;
        }
        false
    });
    matches!(done, Ok(true))
}

/// Submits the thread's first value to a context, through a cell made for it if that can be.
pub(crate) fn write(context: &Context, value: Value) {
    let done = CELLS.try_with(|cells| {
        let Ok(mut cells) = cells.try_borrow_mut() else {
            return false;
        };
        let slot = context.slot();
        if cells.len() <= slot.index {
            cells.resize_with(slot.index + 1, || None);
        }
        let cell = match &cells[slot.index] {
            Some(owned) if owned.serial == slot.serial => &owned.cell,
            _ => {
                &cells[slot.index]
                    .insert(Owned {
                        serial: slot.serial,
                        cell: context.new_cell(),
                    })
                    .cell
            }
        };
        context.write(cell, value);
        true
    });
    if !matches!(done, Ok(true)) {
        context.write_direct(value);
    }
}

impl Local {
    const fn new() -> Self {
        Self {
            known: HashTable::new(),
            recent: [const { None }; RECENT],
            known_bytes: 0,
            evictions: 0,
        }
    }

    /// Does `work` with what the thread has for a call's name and tags.
    #[inline(always)]
    fn know<R>(
        &mut self,
        metrics: &Metrics,
        kind: Kind,
        rate: Rate,
        name: &str,
        tags: &impl Tags,
        work: impl FnOnce(&Known) -> R,
    ) -> Option<R> {
        let place = place(name, tags);
        let is_it = |known: &Rc<Known>| known.is(scope(metrics, rate), kind, name, tags);
        if !self.recent[place].as_ref().is_some_and(is_it) {
            self.recent[place] = Some(self.find(metrics, kind, rate, name, tags));
        }
        self.recent[place].as_deref().map(work)
    }

    #[inline(never)]
    fn find(
        &mut self,
        metrics: &Metrics,
        kind: Kind,
        rate: Rate,
        name: &str,
        tags: &impl Tags,
    ) -> Rc<Known> {
        let scope = scope(metrics, rate);
        let hash = hash(metrics.hasher(), scope, kind, name, tags);
        let is_it = |(known_hash, known): &(u64, Rc<Known>)| {
            *known_hash == hash && known.is(scope, kind, name, tags)
        };
        if let Some((_, known)) = self.known.find(hash, is_it) {
            return Rc::clone(known);
        }
        let context = metrics.look_up(kind, rate, name, tags);
        let known = Rc::new(Known {
            scope,
            kind,
            key: Key::new(name, tags),
            cell: context.new_cell(),
            context,
        });
        self.clean(metrics.evictions());
        self.known_bytes += known.key.bytes();
        self.known
            .insert_unique(hash, (hash, Rc::clone(&known)), |(hash, _)| *hash);
        known
    }

    /// Forgets what was evicted, and everything where that is too much.
    fn clean(&mut self, evictions: u64) {
        if self.evictions != evictions {
            self.evictions = evictions;
            self.known.retain(|(_, known)| !known.cell.is_retired());
            self.recent = [const { None }; RECENT];
        }
        if self.known.len() >= MOST_KNOWN || self.known_bytes >= MOST_KNOWN_BYTES {
            self.known.clear();
            self.known_bytes = 0;
            self.recent = [const { None }; RECENT];
        }
    }
}

impl Known {
    #[inline(always)]
    fn is(&self, scope: u64, kind: Kind, name: &str, tags: &impl Tags) -> bool {
        self.scope == scope
            && self.kind == kind
            && self.key.is(name, tags)
            && !self.cell.is_retired()
    }
}

/// Tells contexts apart that have the same kind, name and tags: [`Metrics`] with another worker or namespace have their
/// own, and so has each rate.
#[inline(always)]
fn scope(metrics: &Metrics, rate: Rate) -> u64 {
    metrics.scope() ^ u64::from(rate.key()) << 32
}

/// Where in [`Local::recent`] to look for a call.
#[inline]
fn place(name: &str, tags: &impl Tags) -> usize {
    let mut place = name.as_ptr().addr();
    for (key, value) in tags.tags() {
        let text = value.unwrap_or(key);
        place = place.rotate_left(5) ^ text.as_ptr().addr();
    }
    // Fibonacci hashing: the high bits of the product depend on all bits.
    let product = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product >> (u64::BITS - RECENT.ilog2())) as usize
}

/// Each text is hashed by itself, because a processor does several such at once, and those of one hash of all in a row.
#[inline]
fn hash(builder: &DefaultHashBuilder, scope: u64, kind: Kind, name: &str, tags: &impl Tags) -> u64 {
    let of = |text: &str| {
        let mut hasher = builder.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    };
    let mut all = of(name).wrapping_add(scope.rotate_left(8) ^ kind as u64);
    for (key, value) in tags.tags() {
        let value = value.map_or(0, of);
        all = all.wrapping_add(of(key).rotate_left(32) ^ value);
    }
    all
}
