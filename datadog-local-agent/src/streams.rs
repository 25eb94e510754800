//! The DogStatsD stream socket: datagrams in frames, each behind its length as a 32-bit little-endian number
//! (datadog-agent: `comp/dogstatsd/listeners/uds_common.go`).

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::datagrams::record;
use crate::dogstatsd::MAX_DATAGRAM;
use crate::metric::Via;
use crate::thread::{ACCEPT_PAUSE, Shared};

/// What the connections are to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    On,
    Paused,
    /// Only what is there already, and then end.
    Rest,
}

/// Accepts connections and reads them until it is told to take the rest.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: UnixListener,
    mut reading: watch::Receiver<Reading>,
) {
    let mut connections = JoinSet::new();
    let told = reading.clone();
    let mut the_end = pin!(async move {
        // An error is an agent that is gone, which is the end too.
        let _ = reading.wait_for(|reading| *reading == Reading::Rest).await;
    });
    loop {
        match select(pin!(listener.accept()), the_end.as_mut()).await {
            Either::Left((Ok((stream, _)), _)) => {
                while connections.try_join_next().is_some() {}
                connections.spawn(read(Arc::clone(&shared), stream, told.clone()));
            }
            Either::Left((Err(_), _)) => tokio::time::sleep(ACCEPT_PAUSE).await,
            Either::Right(_) => break,
        }
    }
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        connections.spawn(read(Arc::clone(&shared), stream, told.clone()));
    }
    while connections.join_next().await.is_some() {}
}

/// Reads one connection to its end, or until a frame is refused, which closes it.
async fn read(shared: Arc<Shared>, stream: UnixStream, mut reading: watch::Receiver<Reading>) {
    let mut frames = Frames::default();
    loop {
        let now = *reading.borrow_and_update();
        match now {
            Reading::Paused => {
                if reading.changed().await.is_err() {
                    return;
                }
            }
            Reading::On => {
                select(pin!(stream.readable()), pin!(reading.changed())).await;
                match frames.read(&shared, &stream) {
                    Found::Some | Found::Nothing => {}
                    Found::TheEnd => return,
                }
            }
            Reading::Rest => {
                while matches!(frames.read(&shared, &stream), Found::Some) {}
                return;
            }
        }
    }
}

/// What came and is not a whole frame yet.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
}

enum Found {
    Some,
    Nothing,
    TheEnd,
}

impl Frames {
    /// Reads what is there, and records the frames that it completes.
    fn read(&mut self, shared: &Shared, stream: &UnixStream) -> Found {
        let mut chunk = [0; MAX_DATAGRAM];
        match stream.try_read(&mut chunk) {
            Ok(0) => {
                if !self.bytes.is_empty() {
                    refuse(shared, "the stream ended within a frame".to_owned());
                }
                Found::TheEnd
            }
            Ok(length) => {
                self.bytes.extend_from_slice(&chunk[..length]);
                match self.record(shared) {
                    Ok(()) => Found::Some,
                    Err(reason) => {
                        refuse(shared, reason);
                        Found::TheEnd
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Found::Nothing,
            Err(_) => Found::TheEnd,
        }
    }

    fn record(&mut self, shared: &Shared) -> Result<(), String> {
        let mut rest = self.bytes.as_slice();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            if length > MAX_DATAGRAM {
                return Err(format!(
                    "a frame of {length} bytes: an agent takes {MAX_DATAGRAM} and closes the connection"
                ));
            }
            let Some((frame, behind)) = behind.split_at_checked(length) else {
                break;
            };
            record(shared, frame, Via::UnixStream);
            rest = behind;
        }
        self.bytes = rest.to_vec();
        Ok(())
    }
}

fn refuse(shared: &Shared, reason: String) {
    let place = Via::UnixStream.to_string();
    shared.store.refuse(&place, reason);
}
