//! Reports of crashes: of the signals that end a program. The process that ends writes one into a file, and the next
//! one of the same program sends it. Off unless
//! [`crashtracking_enabled`](datadog_config::DDConfig::crashtracking_enabled) says otherwise.
//!
//! | file | role |
//! |---|---|
//! | `directory` | where reports wait for the next start |
//! | `handler` | takes the signals, notes what only the crashed thread knows, hands them on to whoever had them |
//! | `writer` | writes the report, on a thread of its own, while the crashed one waits |
//! | `report` | reads a report, names its functions, and puts it into the form that is sent |
//!
//! The stack is found by the sampler's unwinder, but not on the crashed thread: the alternate stack of a signal
//! handler, without which there is no report of a stack overflow, is too small for it. Nothing is allocated and no
//! lock is waited for after the crash, because the crash may be the allocator's.
//!
//! It goes to the agent, which passes it on to error tracking. That is what Datadog's other clients do, needs no API
//! key here, and keeps the frames of the stack apart, with the build ids by which a backend that has the symbols can
//! name them; a log record is text, and needs a receiver of logs.

mod directory;
mod handler;
mod report;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_transport::{
    Account, AgentClient, Outbox, Pass, Payload, RUSTC_VERSION, Seat, TransportBuilder,
    TransportError,
};
use serde_json::json;

use crate::crash::directory::{Directory, ReportFile};
use crate::crash::report::Report;
use crate::crash::writer::Writing;
use crate::modules::Modules;
use crate::owner::Owner;
use crate::symbol::Symbols;
use crate::timer::sys;
use crate::timer::unwind::Unwinders;

/// Where the agent takes what is for error tracking (libdatadog: `libdd-crashtracker/src/crash_info/errors_intake.rs`).
const PATH: &str = "/evp_proxy/v4/api/v2/errorsintake";

/// Which intake the agent sends it to (ibidem).
const INTAKE: (&str, &str) = ("X-Datadog-EVP-Subdomain", "error-tracking-intake");

/// How often libraries that were loaded meanwhile are looked for, so that stacks in them are found.
const LOOK_AROUND: Duration = Duration::from_secs(2);

/// One report has some 30 KB.
const OUTBOX_BYTES: usize = 4 << 20;

static OWNER: Owner = Owner::none();

/// Writes a report if this process crashes, and sends those of earlier ones.
pub(crate) struct CrashReports {
    agent: Arc<AgentClient>,
    account: Arc<Account>,
    directory: Directory,
    own: Own,
    looked: bool,
    left_over: Vec<LeftOver>,
}

/// What is there for a crash of this process.
struct Own {
    /// The end of this comes first.
    writing: Option<Writing>,
    file: Option<ReportFile>,
}

/// A report of an earlier process, on its way.
struct LeftOver {
    /// Deleted when it was delivered; else it stays for the next start.
    file: Option<ReportFile>,
    outbox: Outbox,
}

/// What is needed before the account is there.
pub(crate) struct Starter {
    agent: Arc<AgentClient>,
    unwinders: Arc<Unwinders>,
}

impl Starter {
    /// `None` where the config wants no reports.
    pub(crate) fn of(transport: &mut TransportBuilder) -> Result<Option<Self>, TransportError> {
        if !transport.config().crashtracking_enabled() {
            return Ok(None);
        }
        let unwinders = Arc::new(Unwinders::new(1));
        let refreshed = Arc::clone(&unwinders);
        transport.every(LOOK_AROUND, move || refreshed.refresh());
        Ok(Some(Self {
            agent: transport.agent()?,
            unwinders,
        }))
    }

    /// From now on a crash is reported. `None` where another client of this process does that, or it is impossible, which
    /// the account's last error tells.
    pub(crate) fn start(self, config: &DDConfig, seat: &Seat) -> Option<CrashReports> {
        if !OWNER.take() {
            return None;
        }
        match self.start_owned(config, seat) {
            Ok(reports) => {
                // What is left over is sent soon, as the next crash may come soon.
                seat.waker.wake();
                Some(reports)
            }
            Err(error) => {
                OWNER.release();
                let error = format!("crashes are not reported: {error}");
                log::warn!(target: "datadog", "{error}");
                seat.account.error(error);
                None
            }
        }
    }

    fn start_owned(self, config: &DDConfig, seat: &Seat) -> Result<CrashReports, String> {
        sys::allow_reads()?;
        self.unwinders.refresh();
        let directory = Directory::of(config)?;
        let file = directory.create(config.runtime_id(), &header(config));
        let file = file.map_err(|error| directory.complain(&error))?;
        let writing = file
            .writable()
            .and_then(|end| Writing::start(end, self.unwinders))
            .map_err(|error| format!("no thread to write them: {error}"))?;
        handler::install()?;
        Ok(CrashReports {
            agent: self.agent,
            account: Arc::clone(&seat.account),
            directory,
            own: Own {
                writing: Some(writing),
                file: Some(file),
            },
            looked: false,
            left_over: Vec::new(),
        })
    }
}

impl CrashReports {
    /// Sends what earlier processes left. Returns when to try again, if something is left.
    pub(crate) fn run(
        &mut self,
        pass: &Pass,
        symbols: &mut Symbols,
        modules: &mut Modules,
    ) -> Option<Instant> {
        if !std::mem::replace(&mut self.looked, true) {
            for file in self.directory.left_over() {
                self.take(file, symbols, modules);
            }
        }
        let mut again = None;
        for LeftOver { file, outbox } in &mut self.left_over {
            let next = outbox.deliver(pass, self.agent.limit(), |payload, limit| {
                let answer = self.agent.post(PATH, payload, limit)?;
                // What is refused once is refused always.
                let is_taken = answer.status() < 500 && answer.status() != 429;
                if is_taken && let Some(file) = file.take() {
                    file.remove();
                }
                Ok(answer)
            });
            again = again.into_iter().chain(next).min();
        }
        again
    }

    fn take(&mut self, file: ReportFile, symbols: &mut Symbols, modules: &mut Modules) {
        let report = file.read().ok().as_deref().and_then(Report::parse);
        // One that ended without a crash, in a way in which it could not tidy up.
        let Some(report) = report else {
            return file.remove();
        };
        let body = report.json(symbols, &modules.loaded()).to_string();
        let headers = vec![
            ("Content-Type", "application/json".to_owned()),
            (INTAKE.0, INTAKE.1.to_owned()),
        ];
        self.account.accept(1);
        let mut outbox = Outbox::new(OUTBOX_BYTES, Arc::clone(&self.account));
        outbox.push(Payload::new(body.into_bytes(), headers, 1));
        self.left_over.push(LeftOver {
            file: Some(file),
            outbox,
        });
    }

    /// The process ends in order, or does without: nothing is written from now on.
    pub(crate) fn close(&mut self) {
        self.own.close();
        for LeftOver { outbox, .. } in &mut self.left_over {
            outbox.close();
        }
    }
}

impl Own {
    fn close(&mut self) {
        if self.writing.take().is_some() {
            OWNER.release();
        }
        if let Some(file) = self.file.take() {
            file.remove();
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.close();
    }
}

/// The line with which each report begins, written before there is a crash: whom it is of, and which files it runs.
fn header(config: &DDConfig) -> String {
    let own = [
        ("service", Some(config.service())),
        ("env", config.env()),
        ("version", config.version()),
        ("host", config.hostname()),
        ("language_name", Some("native")),
        ("language_version", Some(RUSTC_VERSION)),
        ("tracer_version", Some(env!("CARGO_PKG_VERSION"))),
        ("runtime-id", Some(config.runtime_id())),
        // A process crashes once.
        ("uuid", Some(config.runtime_id())),
        ("runtime_platform", Some(std::env::consts::ARCH)),
        ("is_crash", Some("true")),
    ];
    let own = own
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    let users = config
        .tags()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let tags: Vec<_> = own
        .chain(users)
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .map(|(key, value)| format!("{key}:{value}").replace(',', "_"))
        .collect();
    let build_ids: BTreeMap<_, _> = Modules::default()
        .loaded()
        .into_iter()
        .map(|module| (module.file, module.build_id))
        .collect();
    json!({"tags": tags.join(","), "process": std::process::id(), "build_ids": build_ids})
        .to_string()
}
