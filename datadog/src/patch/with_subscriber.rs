//! Whether what a library emits with `tracing` reaches the client's layer.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use datadog_config::LogLevel;
use tracing_core::dispatcher::{self, Dispatch, WeakDispatch};
use tracing_core::field::FieldSet;
use tracing_core::metadata::Kind;
use tracing_core::subscriber::{Interest, NoSubscriber};
use tracing_core::{Callsite, Level, LevelFilter, Metadata, identify_callsite};

use super::Modules;
use super::modules::{Emitted, MODULES, Way};
use super::report::{PatchReport, PatchStatus, PatchedModule};
use crate::{DDClient, DDTracingLayer};

/// The one line that the spans of all libraries need that emit them with `tracing`.
const LAYER_LINE: &str =
    "DDTracingLayer, tracing_subscriber::registry().with(client.tracing_layer())";

thread_local! {
    /// For the layer of which client the probe of this thread is, by the address of its modules.
    static SOUGHT: Cell<usize> = const { Cell::new(0) };
    /// Whether it came there.
    static ARRIVED: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn status(client: &DDClient, emitted: &Emitted) -> PatchStatus {
    let modules = client.modules();
    let missing = PatchStatus::NeedsLine { line: LAYER_LINE };
    dispatcher::get_default(|dispatch| {
        if dispatch.is::<NoSubscriber>() {
            return missing.clone();
        }
        let layer = dispatch.downcast_ref::<DDTracingLayer>();
        let is_found = layer.is_some_and(|layer| layer.probe.is_of(modules));
        on_its_own_thread(|| {
            // One within a layer of another kind can't be seen, but it takes what is asked.
            if is_found || arrives(dispatch, modules, emitted, Level::ERROR) {
                reach(dispatch, modules, emitted)
            } else {
                missing.clone()
            }
        })
    })
}

/// Filters of layers note on their thread what they refused, until the next span or event takes note of it. So who only asks
/// would take away what this thread says next.
fn on_its_own_thread<T: Send>(ask: impl Fn() -> T + Sync) -> T {
    thread::scope(|scope| {
        let asking = thread::Builder::new().spawn_scoped(scope, &ask);
        let answer = asking.ok().and_then(|asking| asking.join().ok());
        // Without a thread, here: to lose one span is better than no answer.
        answer.unwrap_or_else(&ask)
    })
}

/// How far what is emitted comes.
fn reach(dispatch: &Dispatch, modules: &Modules, emitted: &Emitted) -> PatchStatus {
    let level = match emitted.level {
        LogLevel::Trace => Level::TRACE,
        LogLevel::Debug => Level::DEBUG,
        _ => Level::INFO,
    };
    let by = if level > tracing::level_filters::STATIC_MAX_LEVEL {
        "which a feature max_level_… or release_max_level_… of the crate tracing removes"
    } else if level > LevelFilter::current() {
        "which is above the level of the whole subscriber"
    } else if !arrives(dispatch, modules, emitted, level) {
        "which a filter of the subscriber or of the layer does not let through"
    } else {
        return PatchStatus::Active;
    };
    let what = if emitted.is_span { "spans" } else { "events" };
    let emitted = format!(
        "it emits {what} of level {}, target {}",
        emitted.level, emitted.target
    );
    PatchStatus::Filtered { emitted, by }
}

/// Asks the subscriber as the library would.
fn arrives(dispatch: &Dispatch, modules: &Modules, emitted: &Emitted, level: Level) -> bool {
    let kind = if emitted.is_span {
        Kind::SPAN
    } else {
        Kind::EVENT
    };
    let fields = FieldSet::new(&[], identify_callsite!(&PROBE));
    let module = emitted.target;
    let metadata = Metadata::new("", module, level, None, None, Some(module), fields, kind);
    SOUGHT.set(std::ptr::from_ref(modules) as usize);
    ARRIVED.set(false);
    dispatch.enabled(&metadata) && ARRIVED.get()
}

/// The callsite of what is asked for and never happens.
#[derive(Debug)]
struct ProbeCallsite;

static PROBE: ProbeCallsite = ProbeCallsite;

static PROBE_METADATA: Metadata<'static> = Metadata::new(
    "probe",
    "datadog",
    Level::TRACE,
    None,
    None,
    None,
    FieldSet::new(&[], identify_callsite!(&PROBE)),
    Kind::EVENT,
);

impl Callsite for ProbeCallsite {
    fn set_interest(&self, _: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        &PROBE_METADATA
    }
}

/// The layer's part of this.
pub(crate) struct Probe {
    modules: Arc<Modules>,
    /// The subscriber that the layer is in.
    dispatch: OnceLock<WeakDispatch>,
    due: AtomicBool,
}

impl Probe {
    pub(crate) fn new(client: &DDClient) -> Self {
        Self {
            modules: Arc::clone(&client.inner.modules),
            dispatch: OnceLock::new(),
            due: AtomicBool::new(false),
        }
    }

    fn is_of(&self, modules: &Modules) -> bool {
        std::ptr::eq(&*self.modules, modules)
    }

    #[inline]
    pub(crate) fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Takes note of a question for the layer.
    pub(crate) fn see(&self, metadata: &Metadata<'_>) {
        if metadata.callsite() == identify_callsite!(&PROBE)
            && SOUGHT.get() == Arc::as_ptr(&self.modules) as usize
        {
            ARRIVED.set(true);
        }
    }

    pub(crate) fn set_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
        self.due
            .store(self.modules.is_any_missed(), Ordering::Relaxed);
    }

    /// Whether there is a report to be written.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }
}

/// Where `patch` came before the subscriber, it could not tell what reaches the layer. So with its first span or event the
/// report of what does not is written: by another thread, as a subscriber must not be asked while it is at work.
#[cold]
pub(crate) fn report_once(probe: &Probe) {
    if !probe.due.swap(false, Ordering::Relaxed) {
        return;
    }
    let Some(dispatch) = probe.dispatch.get().and_then(WeakDispatch::upgrade) else {
        return;
    };
    let modules = Arc::clone(&probe.modules);
    let report = move || {
        let rows = MODULES.iter().filter(|module| modules.is_missed(module.id));
        let rows = rows.filter_map(|module| {
            let Way::Layer(emitted) = &module.way else {
                return None;
            };
            let status = reach(&dispatch, &modules, emitted);
            matches!(status, PatchStatus::Filtered { .. }).then(|| PatchedModule {
                asked: module.name.to_owned(),
                module: Some(module.name),
                status,
                note: module.note,
            })
        });
        PatchReport::new(rows.collect()).log();
    };
    let thread = thread::Builder::new().name("datadog-patch".to_owned());
    // Without a thread there is no report.
    let _ = thread.spawn(report);
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("modules", &self.modules)
            .finish_non_exhaustive()
    }
}
