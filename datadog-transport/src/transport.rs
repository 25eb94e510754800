//! A started client's transport: the handle to its worker.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::{DDConfig, IntakeUrl};

use crate::fork::Birthplace;
use crate::http::HttpClient;
use crate::sync::Mutex;
use crate::sync::channel::{Sender, bounded};
use crate::sync::thread::{self, JoinHandle, ThreadId};
use crate::worker::{self, Brake, Chore, Control, Controls, Driven};
use crate::{
    Account, Accounts, AgentClient, FlushReport, Health, IntakeClient, Signal, SignalHealth,
    SignalKind, TransportError, Waker,
};

/// A longer time limit is the same as this one: a clock can't add every duration.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long an interrupted worker gets to count what it could not deliver.
const INTERRUPTED_GRACE: Duration = Duration::from_millis(200);

/// Collects the signals of one client, which then share a worker thread and the connection to the agent.
pub struct TransportBuilder {
    config: DDConfig,
    sender: Sender<Control>,
    controls: Controls,
    agent: Option<Arc<AgentClient>>,
    http: Vec<HttpClient>,
    chores: Vec<Chore>,
    signals: Vec<Driven>,
    further_accounts: Vec<(SignalKind, Arc<Account>)>,
    accounts: Accounts,
    warnings: Vec<&'static str>,
}

/// The transport of a running client: flush, shutdown and health. Dropping it shuts it down within
/// [`DDConfig::shutdown_timeout`].
pub struct Transport {
    sender: Sender<Control>,
    accounts: Accounts,
    brake: Arc<Brake>,
    /// `None` after it ended.
    worker: Mutex<Option<JoinHandle<()>>>,
    worker_id: ThreadId,
    birthplace: Birthplace,
    shutdown_timeout: Duration,
}

/// What a signal needs to join a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seat {
    /// The signal's account.
    pub account: Arc<Account>,
    /// Wakes the worker for this signal.
    pub waker: Waker,
    /// The accounts of all signals of the client.
    pub accounts: Accounts,
}

impl TransportBuilder {
    /// An empty transport for a client of this config.
    pub fn new(config: &DDConfig) -> Self {
        let (sender, controls) = worker::channel();
        Self {
            config: config.clone(),
            sender,
            controls,
            agent: None,
            http: Vec::new(),
            chores: Vec::new(),
            signals: Vec::new(),
            further_accounts: Vec::new(),
            accounts: Accounts::default(),
            warnings: Vec::new(),
        }
    }

    /// The config of the client.
    pub fn config(&self) -> &DDConfig {
        &self.config
    }

    /// The client's connection to the trace agent, made at the first call and shared by all signals.
    ///
    /// # Errors
    ///
    /// [`TransportError::TlsMissing`] for an `https` agent without the feature `tls`.
    pub fn agent(&mut self) -> Result<Arc<AgentClient>, TransportError> {
        if let Some(agent) = &self.agent {
            return Ok(Arc::clone(agent));
        }
        let agent = Arc::new(AgentClient::new(&self.config)?);
        self.http.push(agent.http().clone());
        self.agent = Some(Arc::clone(&agent));
        Ok(agent)
    }

    /// A connection to the intake at `url`.
    ///
    /// # Errors
    ///
    /// [`TransportError::TlsMissing`] for an `https` intake without the feature `tls`.
    pub fn intake(&mut self, url: &IntakeUrl) -> Result<IntakeClient, TransportError> {
        let intake = IntakeClient::new(&self.config, url)?;
        self.http.push(intake.http().clone());
        Ok(intake)
    }

    /// Adds a signal, made by `make` from its account and waker. `make` returns the worker's half of the signal
    /// and the callers' half, which this returns.
    pub fn add<S: Signal + 'static, H>(
        &mut self,
        kind: SignalKind,
        make: impl FnOnce(Seat) -> (S, H),
    ) -> H {
        let account = Arc::new(Account::default());
        let waker = Waker::new(kind, self.sender.clone());
        let (signal, handle) = make(Seat {
            account: Arc::clone(&account),
            waker: waker.clone(),
            accounts: self.accounts.clone(),
        });
        self.signals
            .push(Driven::new(kind, Box::new(signal), account, waker));
        handle
    }

    /// An account of its own for what a signal sends besides its items.
    pub fn further_account(&mut self, kind: SignalKind) -> Arc<Account> {
        let account = Arc::new(Account::default());
        self.further_accounts.push((kind, Arc::clone(&account)));
        account
    }

    /// Lets the worker do `work` after each `period`, for what watches the process and hands it to a signal. Neither a flush
    /// nor the end of the client waits for it. Once it panicked it is not done again.
    pub fn every(&mut self, period: Duration, work: impl FnMut() + Send + 'static) {
        self.chores.push(Chore::new(period, work));
    }

    /// Says what is wrong with the config for a signal, once it starts: a client that is off says nothing.
    pub fn warn(&mut self, warning: &'static str) {
        self.warnings.push(warning);
    }

    /// Starts the worker thread, and logs what is wrong with the config: in the environment and its files, and for
    /// [signals](Self::warn).
    ///
    /// # Errors
    ///
    /// [`TransportError::Thread`] where the operating system refuses a thread.
    pub fn start(self) -> Result<Transport, TransportError> {
        let accounts = self
            .signals
            .iter()
            .map(|driven| (driven.kind, Arc::clone(&driven.account)));
        self.accounts
            .set(accounts.chain(self.further_accounts).collect());
        for problem in self.config.problems() {
            log::warn!(target: "datadog", "{problem}");
        }
        for warning in self.warnings {
            log::warn!(target: "datadog", "{warning}");
        }
        let (controls, chores, signals) = (self.controls, self.chores, self.signals);
        let brake = Arc::new(Brake::new(self.http));
        let workers_brake = Arc::clone(&brake);
        let worker = thread::Builder::new()
            .name("datadog".to_owned())
            .spawn(move || worker::run(&controls, chores, signals, &workers_brake))
            .map_err(TransportError::Thread)?;
        Ok(Transport {
            sender: self.sender,
            accounts: self.accounts,
            brake,
            worker_id: worker.thread().id(),
            worker: Mutex::new(Some(worker)),
            birthplace: Birthplace::here(),
            shutdown_timeout: self.config.shutdown_timeout(),
        })
    }

    /// A transport without a worker, for a client that is off: its signals refuse everything.
    pub fn closed(mut self) -> Transport {
        self.signals.iter_mut().for_each(Driven::close);
        let (gone, _) = worker::channel();
        Transport {
            sender: gone,
            accounts: self.accounts,
            brake: Arc::new(Brake::new(Vec::new())),
            // No worker asks.
            worker_id: thread::current().id(),
            worker: Mutex::new(None),
            birthplace: Birthplace::here(),
            shutdown_timeout: Duration::ZERO,
        }
    }
}

impl Transport {
    /// Sends everything buffered, and waits for it, at most `timeout`. What the receiver does not take stays
    /// buffered and is tried again later.
    pub fn flush(&self, timeout: Duration) -> FlushReport {
        self.flush_and_wait(None, timeout)
    }

    /// Like [`Transport::flush`], for one signal.
    pub fn flush_signal(&self, kind: SignalKind, timeout: Duration) -> FlushReport {
        self.flush_and_wait(Some(kind), timeout)
    }

    /// Delivers what is buffered, drops and counts what can't be delivered within `timeout`, and ends the worker. A
    /// request that hangs since before may take a quarter of `timeout`; then it is ended, and tried once more.
    /// Calls from other threads meanwhile wait for this one; later ones find nothing to do, and so do those in a forked child, whose parent has the worker.
    pub fn shutdown(&self, timeout: Duration) -> FlushReport {
        if !self.birthplace.is_here() {
            return FlushReport::default();
        }
        let before = self.health_of(None);
        let timeout = timeout.min(LONGEST_WAIT);
        let deadline = Instant::now() + timeout;
        let (done, finished) = bounded(1);
        if self.is_on_worker() {
            let _ = self.sender.try_send(Control::Shutdown { deadline, done });
            return self.health_of(None).since(&before, false);
        }
        // Whoever comes while another thread shuts down waits for it.
        let Some(mut worker) = self.worker.try_lock_until(deadline) else {
            return self.health_of(None).since(&before, false);
        };
        let Some(handle) = worker.take() else {
            return self.health_of(None).since(&before, true);
        };
        let _ = self
            .sender
            .send_deadline(Control::Shutdown { deadline, done }, deadline);
        let mut complete = finished.recv_timeout(timeout / 4).is_ok();
        if !complete {
            self.brake.stop_earlier_work();
            complete = finished.recv_deadline(deadline).is_ok();
        }
        if !complete {
            self.brake.stop();
            complete = finished.recv_timeout(INTERRUPTED_GRACE).is_ok();
        }
        if complete || handle.is_finished() {
            complete = handle.join().is_ok();
        } else {
            *worker = Some(handle);
        }
        self.health_of(None).since(&before, complete)
    }

    /// The account of every signal.
    pub fn health(&self) -> Health {
        self.accounts.health()
    }

    fn flush_and_wait(&self, kind: Option<SignalKind>, timeout: Duration) -> FlushReport {
        if !self.birthplace.is_here() {
            return FlushReport::default();
        }
        let before = self.health_of(kind);
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        let complete = !self.is_on_worker() && {
            let (done, finished) = bounded(1);
            let order = Control::Flush {
                kind,
                deadline,
                done,
            };
            self.is_running(deadline)
                && self.sender.send_deadline(order, deadline).is_ok()
                && finished.recv_deadline(deadline).is_ok()
        };
        self.health_of(kind).since(&before, complete)
    }

    /// Whether there is a worker; one that is being shut down is waited for.
    fn is_running(&self, deadline: Instant) -> bool {
        let worker = self.worker.try_lock_until(deadline);
        worker.is_some_and(|worker| worker.is_some())
    }

    fn is_on_worker(&self) -> bool {
        thread::current().id() == self.worker_id
    }

    fn health_of(&self, kind: Option<SignalKind>) -> SignalHealth {
        let health = self.health();
        kind.map_or_else(|| health.total(), |kind| health.signal(kind))
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.shutdown(self.shutdown_timeout);
        if !self.birthplace.is_here() {
            // The parent's thread is not here, and what names it may name another one by now, of a client of the child's
            // own: that one must not be let go in its place.
            if let Some(mut worker) = self.worker.try_lock_until(Instant::now()) {
                std::mem::forget(worker.take());
            }
        }
    }
}

impl fmt::Debug for TransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportBuilder")
            .field("signals", &self.signals.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("accounts", &self.accounts)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, datadog_loom))]
mod model;
