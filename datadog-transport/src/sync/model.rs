//! The parts that loom does not have, built on those that it has.
//!
//! Loom knows no time, so a deadline is one of two things: one that has passed is over at once, any other never comes. That leaves out no
//! order of events but those in which a wait ends by its deadline.

use std::collections::VecDeque;
use std::time::Instant;

use loom::sync::{self, MutexGuard};

use super::{AtomicUsize, Ordering};

/// As little as is known of crossbeam's queue: what was popped was pushed before. Not even that a pop finds
/// what another thread pushed: the length, which is read without order, may say that there is nothing.
#[derive(Debug)]
pub(crate) struct SegQueue<T> {
    length: AtomicUsize,
    entries: std::sync::Mutex<VecDeque<T>>,
}

impl<T> SegQueue<T> {
    pub(crate) fn new() -> Self {
        Self {
            length: AtomicUsize::new(0),
            entries: std::sync::Mutex::default(),
        }
    }

    pub(crate) fn push(&self, value: T) {
        if let Ok(mut entries) = self.entries.lock() {
            entries.push_back(value);
        }
        self.length.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        if self.length.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let value = self.entries.lock().ok()?.pop_front();
        if value.is_some() {
            self.length.fetch_sub(1, Ordering::Acquire);
        }
        value
    }
}

/// parking_lot's lock, as far as it is used.
#[derive(Debug)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }

    pub(crate) fn try_lock_until(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        if deadline <= Instant::now() {
            self.0.try_lock().ok()
        } else {
            Some(self.lock())
        }
    }
}

/// The threads of the standard library, as far as they are used.
pub(crate) mod thread {
    pub(crate) use loom::thread::{ThreadId, current};

    pub(crate) struct Builder(loom::thread::Builder);

    #[derive(Debug)]
    pub(crate) struct JoinHandle<T>(loom::thread::JoinHandle<T>);

    impl Builder {
        pub(crate) fn new() -> Self {
            Self(loom::thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Self {
            Self(self.0.name(name))
        }

        pub(crate) fn spawn<T: Send + 'static>(
            self,
            work: impl FnOnce() -> T + Send + 'static,
        ) -> std::io::Result<JoinHandle<T>> {
            self.0.spawn(work).map(JoinHandle)
        }
    }

    impl<T> JoinHandle<T> {
        pub(crate) fn thread(&self) -> &loom::thread::Thread {
            self.0.thread()
        }

        pub(crate) fn join(self) -> std::thread::Result<T> {
            self.0.join()
        }

        /// Loom does not tell. A thread may end right after the question, so "no" is always a right answer.
        pub(crate) fn is_finished(&self) -> bool {
            false
        }
    }
}

/// crossbeam's bounded channel, as far as it is used.
pub(crate) mod channel {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    pub(crate) use crossbeam::channel::{
        RecvError, RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError,
    };
    use loom::sync::{Condvar, Mutex};

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Channel<T>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Arc<Channel<T>>);

    #[derive(Debug)]
    struct Channel<T> {
        state: Mutex<State<T>>,
        changed: Condvar,
        places: usize,
    }

    #[derive(Debug)]
    struct State<T> {
        waiting: VecDeque<T>,
        senders: usize,
        has_receiver: bool,
    }

    pub(crate) fn bounded<T>(places: usize) -> (Sender<T>, Receiver<T>) {
        let channel = Arc::new(Channel {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                senders: 1,
                has_receiver: true,
            }),
            changed: Condvar::new(),
            places,
        });
        (Sender(Arc::clone(&channel)), Receiver(channel))
    }

    impl<T> Sender<T> {
        pub(crate) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
            let mut state = self.0.state.lock().unwrap();
            if !state.has_receiver {
                return Err(TrySendError::Disconnected(value));
            }
            if state.waiting.len() == self.0.places {
                return Err(TrySendError::Full(value));
            }
            state.waiting.push_back(value);
            self.0.changed.notify_all();
            Ok(())
        }

        pub(crate) fn send_deadline(
            &self,
            value: T,
            _: Instant,
        ) -> Result<(), SendTimeoutError<T>> {
            self.try_send(value).map_err(|error| match error {
                TrySendError::Disconnected(value) => SendTimeoutError::Disconnected(value),
                TrySendError::Full(_) => panic!("no model needs more places than there are"),
            })
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            self.0.state.lock().unwrap().senders += 1;
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            self.0.state.lock().unwrap().senders -= 1;
            self.0.changed.notify_all();
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, RecvError> {
            self.receive(true).map_err(|_| RecvError)
        }

        pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
            self.receive(false).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            })
        }

        pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
            self.receive(!timeout.is_zero())
        }

        pub(crate) fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
            self.receive(deadline > Instant::now())
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.state.lock().unwrap().waiting.is_empty()
        }

        fn receive(&self, waits: bool) -> Result<T, RecvTimeoutError> {
            let mut state = self.0.state.lock().unwrap();
            loop {
                if let Some(value) = state.waiting.pop_front() {
                    return Ok(value);
                }
                if state.senders == 0 {
                    return Err(RecvTimeoutError::Disconnected);
                }
                if !waits {
                    return Err(RecvTimeoutError::Timeout);
                }
                state = self.0.changed.wait(state).unwrap();
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        /// What still waits goes with the receiver, and with it the senders that it holds.
        fn drop(&mut self) {
            let left = {
                let mut state = self.0.state.lock().unwrap();
                state.has_receiver = false;
                std::mem::take(&mut state.waiting)
            };
            drop(left);
        }
    }
}
