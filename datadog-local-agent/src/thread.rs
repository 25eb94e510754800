//! The agent's one thread: owns the sockets and takes orders.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::endpoint::Settings;
use crate::fault::FaultPlan;
use crate::received::Store;
use crate::sockets::{Places, Reservation, Sockets, StartError};
use crate::streams::{self, Reading};
use crate::{datagrams, http};

/// After a failure to accept, which is most likely a lack of file descriptors that will not pass at once.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What the thread and the handle both use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) places: Places,
    pub(crate) store: Store,
    pub(crate) faults: FaultPlan,
    /// One task for each open HTTP connection.
    pub(crate) connections: Mutex<JoinSet<()>>,
    /// Connections ever accepted: unlike the count in the store, never cleared, so that numbers stay unique.
    connection_numbers: AtomicU64,
    /// Datagrams that the kernel dropped at UDP sockets that are closed now.
    drops_before: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: Settings, places: Places) -> Self {
        Self {
            settings,
            places,
            store: Store::default(),
            faults: FaultPlan::default(),
            connections: Mutex::new(JoinSet::new()),
            connection_numbers: AtomicU64::new(0),
            drops_before: AtomicU64::new(0),
        }
    }

    /// Counts a connection and gives its number, from 1.
    pub(crate) fn count_connection(&self) -> u64 {
        self.store.add_connection();
        self.connection_numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Datagrams that the kernel dropped, over all restarts.
    pub(crate) fn lost_datagrams(&self) -> u64 {
        self.drops_before.load(Ordering::Relaxed) + datagrams::kernel_drops(self.places.dogstatsd)
    }
}

/// What the thread can be told to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Command {
    StopListening,
    Restart,
    PauseDogstatsd,
    ResumeDogstatsd,
    Quit,
}

struct Order {
    command: Command,
    done: mpsc::Sender<Result<(), StartError>>,
}

/// The running thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Thread {
    orders: UnboundedSender<Order>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    pub(crate) fn start(shared: Arc<Shared>, sockets: Sockets) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| StartError::new("events", error))?;
        let (orders, inbox) = unbounded_channel();
        let live = {
            let _inside = runtime.enter();
            Live::start(&shared, sockets).map_err(|error| StartError::new("events", error))?
        };
        let handle = std::thread::Builder::new()
            .name("datadog-local-agent".to_owned())
            .spawn(move || run(runtime, shared, live, inbox))
            .map_err(|error| StartError::new("events (no thread)", error))?;
        Ok(Self {
            orders,
            handle: Some(handle),
        })
    }

    /// Gives an order and waits until it is carried out.
    pub(crate) fn order(&self, command: Command) -> Result<(), StartError> {
        let (done, outcome) = mpsc::channel();
        let gone = || StartError::new("orders", io::ErrorKind::BrokenPipe.into());
        self.orders
            .send(Order { command, done })
            .map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Fails only if the thread is gone already.
        let _ = self.order(Command::Quit);
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

fn run(runtime: Runtime, shared: Arc<Shared>, live: Live, mut orders: UnboundedReceiver<Order>) {
    runtime.block_on(async {
        let mut state = State::Live(live);
        while let Some(Order { command, done }) = orders.recv().await {
            let outcome = match command {
                Command::StopListening => state.stop(&shared).await,
                Command::Restart => state.restart(&shared).await,
                Command::PauseDogstatsd => {
                    state.pause().await;
                    Ok(())
                }
                Command::ResumeDogstatsd => {
                    state.resume(&shared);
                    Ok(())
                }
                Command::Quit => {
                    state.quit(&shared).await;
                    Ok(())
                }
            };
            // The other side may have given up waiting.
            let _ = done.send(outcome);
            if command == Command::Quit {
                break;
            }
        }
    });
}

enum State {
    Live(Live),
    /// The reservation is there to be dropped.
    Stopped(#[expect(dead_code, reason = "held, never read")] Option<Reservation>),
}

impl State {
    async fn stop(&mut self, shared: &Shared) -> Result<(), StartError> {
        let Self::Live(live) = self else {
            return Ok(());
        };
        live.close(shared).await;
        *self = Self::Stopped(None);
        let reservation = Reservation::take(&shared.places)
            .map_err(|error| StartError::new("nothing (holding the ports)", error))?;
        *self = Self::Stopped(Some(reservation));
        Ok(())
    }

    async fn restart(&mut self, shared: &Arc<Shared>) -> Result<(), StartError> {
        if let Self::Live(live) = self {
            live.close(shared).await;
        }
        *self = Self::Stopped(None);
        let sockets = Sockets::bind(&shared.places)?;
        let live =
            Live::start(shared, sockets).map_err(|error| StartError::new("events", error))?;
        *self = Self::Live(live);
        Ok(())
    }

    async fn pause(&mut self) {
        if let Self::Live(live) = self {
            live.stream_reading.send_replace(Reading::Paused);
            live.readers.shutdown().await;
        }
    }

    fn resume(&mut self, shared: &Arc<Shared>) {
        if let Self::Live(live) = self
            && live.readers.is_empty()
        {
            live.stream_reading.send_replace(Reading::On);
            live.read(shared);
        }
    }

    async fn quit(&mut self, shared: &Shared) {
        if let Self::Live(live) = self {
            live.close(shared).await;
        }
    }
}

/// Listening: the tasks that accept and read, and the sockets that must outlive a pause.
struct Live {
    acceptors: JoinSet<()>,
    readers: JoinSet<()>,
    dogstatsd: Arc<UdpSocket>,
    dogstatsd_unix: Arc<UnixDatagram>,
    /// Accepts and reads DogStatsD streams.
    streams: JoinSet<()>,
    stream_reading: watch::Sender<Reading>,
}

impl Live {
    fn start(shared: &Arc<Shared>, sockets: Sockets) -> io::Result<Self> {
        let http = TcpListener::from_std(sockets.http)?;
        let trace = UnixListener::from_std(sockets.trace)?;
        let mut acceptors = JoinSet::new();
        acceptors.spawn(http::accept_tcp(Arc::clone(shared), http));
        acceptors.spawn(http::accept_unix(Arc::clone(shared), trace));
        let stream = UnixListener::from_std(sockets.dogstatsd_stream)?;
        let (stream_reading, told) = watch::channel(Reading::On);
        let mut streams = JoinSet::new();
        streams.spawn(streams::serve(Arc::clone(shared), stream, told));
        let mut live = Self {
            streams,
            stream_reading,
            acceptors,
            readers: JoinSet::new(),
            dogstatsd: Arc::new(UdpSocket::from_std(sockets.dogstatsd)?),
            dogstatsd_unix: Arc::new(UnixDatagram::from_std(sockets.dogstatsd_unix)?),
        };
        live.read(shared);
        Ok(live)
    }

    fn read(&mut self, shared: &Arc<Shared>) {
        let udp = datagrams::read_udp(Arc::clone(shared), Arc::clone(&self.dogstatsd));
        let unix = datagrams::read_unix(Arc::clone(shared), Arc::clone(&self.dogstatsd_unix));
        self.readers.spawn(udp);
        self.readers.spawn(unix);
    }

    /// Ends all tasks, so that their sockets and connections close, and removes the socket files. Datagrams that
    /// arrived before are read, unless reading is paused: the kernel took them, so their senders count on it.
    async fn close(&mut self, shared: &Shared) {
        let reading = !self.readers.is_empty();
        self.acceptors.shutdown().await;
        self.readers.shutdown().await;
        let mut connections = std::mem::take(&mut *shared.connections.lock());
        connections.shutdown().await;
        let drops = datagrams::kernel_drops(shared.places.dogstatsd);
        shared.drops_before.fetch_add(drops, Ordering::Relaxed);
        shared.places.remove_sockets();
        if reading {
            self.stream_reading.send_replace(Reading::Rest);
            while self.streams.join_next().await.is_some() {}
            datagrams::read_rest(shared, &self.dogstatsd, &self.dogstatsd_unix);
        }
        self.streams.shutdown().await;
    }
}
