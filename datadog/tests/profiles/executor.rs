//! An executor that no library knows: a task runs on whichever of its threads is free, and on another one the next time.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    work: Mutex<Option<Work>>,
    own: Weak<Self>,
    queue: Sender<Arc<Self>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        // Nobody listens when all is done.
        let _ = self.queue.send(Arc::clone(&self));
    }
}

impl Task {
    fn run(&self) {
        let waker = Waker::from(self.own.upgrade().unwrap());
        let mut work = self.work.lock().unwrap();
        if let Some(mut future) = work.take()
            && future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        {
            *work = Some(future);
        }
    }
}

/// Runs all tasks to their ends on so many threads.
pub(crate) fn run(threads: usize, tasks: Vec<Work>) {
    let (queue, ready) = channel();
    for work in tasks {
        let task = Arc::new_cyclic(|own| Task {
            work: Mutex::new(Some(work)),
            own: Weak::clone(own),
            queue: queue.clone(),
        });
        queue.send(task).unwrap();
    }
    // From here on only the tasks hold it.
    drop(queue);
    let ready = Mutex::new(ready);
    let next = |ready: &Mutex<Receiver<Arc<Task>>>| ready.lock().unwrap().recv();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Ok(task) = next(&ready) {
                    task.run();
                }
            });
        }
    });
}

/// Gives way once, so that other tasks have their turn.
pub(crate) fn give_way() -> impl Future<Output = ()> {
    let mut gave = false;
    std::future::poll_fn(move |task| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
}
