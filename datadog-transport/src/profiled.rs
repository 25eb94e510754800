//! What profiles and traces tell each other: traces the endpoints that they served, profiles which traces they saw. It
//! works empty, and costs traces one load while nothing is profiled.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::alone::Alone;

/// What a profiler wants to know of traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The endpoints of the local roots that it saw.
    pub endpoints: bool,
    /// How often each endpoint was served. Needs the endpoints.
    pub endpoint_counts: bool,
}

/// What traces told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// By the span id of the local root.
    pub by_root: BTreeMap<u64, Arc<str>>,
    /// How often each was served.
    pub counts: BTreeMap<Arc<str>, u64>,
    /// How many local roots were left out, because there were too many.
    pub left_out: u64,
}

/// Tells the endpoint of a local root that is open, by its span id.
pub type OpenRoots = fn(u64) -> Option<Arc<str>>;

/// The most memory for endpoints between two profiles, about: some 80,000 local roots.
const MOST_BYTES: usize = 4 << 20;

/// What a local root takes beside its endpoint's name.
const ROOT_BYTES: usize = 48;

/// The most endpoints that are counted, as in dd-trace-go: `internal/traceprof/endpoint_counter.go`.
const MOST_COUNTED: usize = 1000;

/// Sets of local roots have a bit for each value of the last bits of a span id.
const SEEN_WORDS: usize = 1024;

/// The bits of [`STATE`].
const RUNS: u8 = 1;
const ENDPOINTS: u8 = 2;
const COUNTS: u8 = 4;
const AWAITS_SPAN: u8 = 8;

static STATE: Alone<AtomicU8> = Alone(AtomicU8::new(0));
static NOTES: Mutex<Notes> = Mutex::new(Notes::new());
static OPEN_ROOTS: OnceLock<OpenRoots> = OnceLock::new();

/// The local roots that were seen since the last profile, and those before it: only what was seen is worth a note,
/// else a busy service would fill any memory with roots that no sample belongs to.
static SEEN: [Seen; 2] = [const { Seen::new() }; 2];
static SEEN_NOW: AtomicUsize = AtomicUsize::new(0);

/// A set that may hold too much, but never too little.
struct Seen([AtomicU64; SEEN_WORDS]);

struct Notes {
    by_root: BTreeMap<u64, Arc<str>>,
    /// Those of the last profile: a sample may be found later than the note of its root.
    by_root_before: BTreeMap<u64, Arc<str>>,
    /// Each name once.
    names: BTreeSet<Arc<str>>,
    bytes: usize,
    left_out: u64,
    counts: BTreeMap<Arc<str>, u64>,
}

/// Says that the program is profiled from now on. For the one profiler that runs.
pub fn start(wishes: Wishes) {
    let mut state = RUNS;
    // A fork may have left the lock taken: then spans must not wait for it.
    if wishes.endpoints && NOTES.try_lock_for(Duration::from_secs(1)).is_some() {
        state |= ENDPOINTS;
        if wishes.endpoint_counts {
            state |= COUNTS;
        }
    }
    STATE.0.store(state, Ordering::Release);
}

/// Says that the program is not profiled any more. In a forked child it is not either.
pub fn stop() {
    STATE.0.store(0, Ordering::Release);
}

/// Says that a profiler waits for the first span, unless one runs already.
pub fn await_span() {
    let _ = STATE
        .0
        .compare_exchange(0, AWAITS_SPAN, Ordering::Relaxed, Ordering::Relaxed);
}

/// Whether nobody waits for a span, because one came since [`await_span`].
pub fn span_came() -> bool {
    STATE.0.load(Ordering::Relaxed) & AWAITS_SPAN == 0
}

/// Whether local roots that start are to be told.
#[inline]
pub fn wants_starts() -> bool {
    STATE.0.load(Ordering::Relaxed) & (ENDPOINTS | AWAITS_SPAN) != 0
}

/// Tells that a local root starts.
pub fn started() {
    STATE.0.fetch_and(!AWAITS_SPAN, Ordering::Relaxed);
}

/// Whether the program is profiled.
#[inline]
pub fn is_on() -> bool {
    STATE.0.load(Ordering::Relaxed) & RUNS != 0
}

/// Whether the profiler wants to know endpoints.
#[inline]
pub fn wants_endpoints() -> bool {
    STATE.0.load(Ordering::Relaxed) & ENDPOINTS != 0
}

/// Notes that a sample was taken while a local root, named by its span id, was active. A signal handler may call this.
#[inline]
pub fn saw(local_root_id: u64) {
    if wants_endpoints() {
        SEEN[SEEN_NOW.load(Ordering::Relaxed) & 1].add(local_root_id);
    }
}

/// Tells the endpoint of a local root that ends.
pub fn served(local_root_id: u64, endpoint: &str) {
    let state = STATE.0.load(Ordering::Acquire);
    if state & ENDPOINTS != 0 && SEEN.iter().any(|seen| seen.has(local_root_id)) {
        NOTES.lock().add(local_root_id, endpoint);
    }
    if state & COUNTS != 0 {
        NOTES.lock().count(endpoint);
    }
}

/// Lets profiles ask for the endpoints of local roots that did not end. For whoever calls [`served`]; only the first
/// call counts.
pub fn ask_open_roots_with(open_roots: OpenRoots) {
    let _ = OPEN_ROOTS.set(open_roots);
}

/// The endpoints of the local roots that samples were taken of, and how often each endpoint was served since this
/// was asked last.
pub fn take_endpoints(roots: impl IntoIterator<Item = u64>) -> Endpoints {
    // The open ones first: those that end meanwhile leave a note.
    let mut by_root = BTreeMap::new();
    let mut others = Vec::new();
    for root in roots {
        match OPEN_ROOTS.get().and_then(|ask| ask(root)) {
            Some(endpoint) => _ = by_root.insert(root, endpoint),
            None => others.push(root),
        }
    }
    let Some(mut notes) = notes_of_this_process() else {
        return Endpoints::default();
    };
    let noted = |root| {
        let noted = notes.by_root.get(&root);
        Some((
            root,
            Arc::clone(noted.or_else(|| notes.by_root_before.get(&root))?),
        ))
    };
    by_root.extend(others.into_iter().filter_map(noted));
    let endpoints = Endpoints {
        by_root,
        counts: mem::take(&mut notes.counts),
        left_out: notes.left_out,
    };
    *notes = Notes {
        by_root_before: mem::take(&mut notes.by_root),
        ..Notes::new()
    };
    let next = (SEEN_NOW.load(Ordering::Relaxed) + 1) & 1;
    SEEN[next].clear();
    SEEN_NOW.store(next, Ordering::Relaxed);
    endpoints
}

/// `None` where a fork left the lock taken.
fn notes_of_this_process() -> Option<MutexGuard<'static, Notes>> {
    NOTES.try_lock_for(Duration::from_secs(1))
}

impl Notes {
    const fn new() -> Self {
        Self {
            by_root: BTreeMap::new(),
            by_root_before: BTreeMap::new(),
            names: BTreeSet::new(),
            bytes: 0,
            left_out: 0,
            counts: BTreeMap::new(),
        }
    }

    fn add(&mut self, root: u64, endpoint: &str) {
        let known = self.names.get(endpoint).map(Arc::clone);
        let bytes = ROOT_BYTES + known.as_ref().map_or(endpoint.len() + ROOT_BYTES, |_| 0);
        if self.bytes + bytes > MOST_BYTES {
            self.left_out += 1;
            return;
        }
        self.bytes += bytes;
        let name = known.unwrap_or_else(|| {
            let name: Arc<str> = endpoint.into();
            self.names.insert(Arc::clone(&name));
            name
        });
        self.by_root.insert(root, name);
    }

    fn count(&mut self, endpoint: &str) {
        if let Some(count) = self.counts.get_mut(endpoint) {
            *count += 1;
        } else if self.counts.len() < MOST_COUNTED {
            self.counts.insert(endpoint.into(), 1);
        }
    }
}

impl Seen {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SEEN_WORDS])
    }

    fn place(&self, id: u64) -> (&AtomicU64, u64) {
        let word = &self.0[(id / 64) as usize % SEEN_WORDS];
        (word, 1 << (id % 64))
    }

    fn add(&self, id: u64) {
        let (word, bit) = self.place(id);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    fn has(&self, id: u64) -> bool {
        let (word, bit) = self.place(id);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn clear(&self) {
        for word in &self.0 {
            word.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(roots: &[u64]) -> Vec<(u64, String)> {
        let by_root = take_endpoints(roots.iter().copied()).by_root;
        let shown = by_root.into_iter();
        shown.map(|(root, name)| (root, name.to_string())).collect()
    }

    /// There is one of all this in a process, so one test.
    #[test]
    fn profiles_learn_the_endpoints_of_what_they_saw() {
        saw(1);
        served(1, "GET /off");
        assert!(!is_on());
        assert_eq!(take_endpoints([1]), Endpoints::default());

        start(Wishes {
            endpoints: true,
            endpoint_counts: false,
        });
        assert!(is_on() && wants_endpoints());
        saw(1);
        served(1, "GET /a");
        served(2, "GET /a");
        assert_eq!(take(&[1, 2, 3]), [(1, "GET /a".to_owned())]);
        // A sample that was found late.
        assert_eq!(take(&[1]), [(1, "GET /a".to_owned())]);
        assert_eq!(take(&[1]), []);

        // A root that outlives a profile.
        saw(4);
        assert_eq!(take(&[4]), []);
        served(4, "GET /b");
        assert_eq!(take(&[4]), [(4, "GET /b".to_owned())]);

        ask_open_roots_with(|root| (root == 5).then(|| "GET /open".into()));
        assert_eq!(take(&[5, 6]), [(5, "GET /open".to_owned())]);

        start(Wishes {
            endpoints: true,
            endpoint_counts: true,
        });
        for _ in 0..3 {
            served(7, "GET /c");
        }
        (0..MOST_COUNTED).for_each(|at| served(8, &format!("GET /{at}")));
        let counts = take_endpoints([7]).counts;
        assert_eq!((counts["GET /c"], counts["GET /17"]), (3, 1));
        assert_eq!(counts.len(), MOST_COUNTED);
        assert_eq!(take_endpoints([]).counts.len(), 0);

        // Bounded, but for few names there is room for many roots.
        let most = 2 * (MOST_BYTES / ROOT_BYTES) as u64;
        (0..most).for_each(saw);
        (0..most).for_each(|root| served(root, "GET /d"));
        let all = take_endpoints(0..most);
        assert!(all.by_root.len() > 80_000, "{}", all.by_root.len());
        assert_eq!(all.by_root.len() as u64 + all.left_out, most);

        start(Wishes::default());
        saw(most);
        served(most, "GET /unwanted");
        assert_eq!(take_endpoints([most]), Endpoints::default());
        assert!(is_on() && !wants_endpoints());
        stop();
        assert!(!is_on());

        await_span();
        assert!(wants_starts() && !span_came());
        assert!(!is_on() && !wants_endpoints(), "it doesn't run yet");
        started();
        assert!(!wants_starts() && span_came());
    }
}
