//! Where the program panics.

use std::collections::HashMap;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::thread;

use datadog_transport::on_worker;

use crate::callers::Callers;
use crate::counted::{Counted, Values};
use crate::owner::{Kept, Owner};
use crate::recordings;
use crate::sample::SpanIds;

/// The most places, by stack, thread name and span, of one upload: 1 MB with 128 calls each.
const MOST_PLACES: usize = 1024;

/// The label of each of them. Rust has no classes of panics, and messages are too many.
const EXCEPTION: &str = "panic";

static OWNER: Owner = Owner::none();
static PANICS: Kept<Panics> = Kept::new();

#[derive(Default)]
struct Panics {
    places: HashMap<Place, u64>,
    dropped: u64,
}

#[derive(PartialEq, Eq, Hash)]
struct Place {
    stack: Box<[usize]>,
    thread: Box<str>,
    span: Option<SpanIds>,
}

/// Panics are recorded while this exists.
#[derive(Debug)]
pub(crate) struct Recording(());

impl Recording {
    /// Starts to record. `None` where somebody else of this process does.
    pub(crate) fn start() -> Option<Self> {
        /// It stays: hooks that were installed later call it.
        static HOOK: Once = Once::new();
        HOOK.call_once(install);
        OWNER.take_if(|| PANICS.begin()).then_some(Self(()))
    }

    /// Takes out what was found since the last time, and returns how many panics are not among it.
    pub(crate) fn drain(&self, found: &mut Vec<Counted>) -> u64 {
        let panics = PANICS.take();
        found.extend(panics.places.into_iter().map(|(place, count)| {
            let values = Values {
                exceptions: count,
                ..Values::default()
            };
            Counted {
                stack: place.stack,
                thread: place.thread,
                exception: EXCEPTION,
                span: place.span,
                values,
            }
        }));
        panics.dropped
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        OWNER.release();
    }
}

/// Puts a hook before the one that is there, which is called afterwards.
fn install() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        // What panics on the worker is not the program's.
        if OWNER.is_here() && !on_worker() {
            record();
        }
        previous(info);
    }));
}

fn record() {
    let callers = Callers::here();
    let current = thread::current();
    let place = Place {
        stack: callers.as_slice().into(),
        thread: current.name().unwrap_or_default().into(),
        span: recordings::span(),
    };
    PANICS.with(|panics| {
        if panics.places.len() < MOST_PLACES || panics.places.contains_key(&place) {
            *panics.places.entry(place).or_default() += 1;
        } else {
            panics.dropped += 1;
        }
    });
}
