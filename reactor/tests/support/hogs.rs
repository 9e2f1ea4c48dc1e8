//! Sockets that wait beside a worker that computes, and workers that do as they are told: for tests of
//! what others do about it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::poll_fn;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Instant;

use gorin_reactor::{Config, Direction, Local, Reactor, Socket};

use crate::support::{Idle, LIMIT, connection, receive, shut_down, wait_until_asleep, with_config};

/// Notes which threads wake it.
#[derive(Default)]
pub(crate) struct Mark(Mutex<Vec<ThreadId>>);

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push(thread::current().id());
    }
}

impl Mark {
    pub(crate) fn is_woken(&self) -> bool {
        !self.0.lock().unwrap().is_empty()
    }

    /// Whether it was woken, and by this thread alone.
    pub(crate) fn was_woken_here(&self) -> bool {
        self.is_woken() && !self.was_woken_elsewhere()
    }

    pub(crate) fn was_woken_elsewhere(&self) -> bool {
        let woken = self.0.lock().unwrap();
        woken.iter().any(|&thread| thread != thread::current().id())
    }
}

/// A read of a socket that waits, as a goroutine would.
pub(crate) struct Waiting {
    pub(crate) socket: Arc<Socket>,
    pub(crate) peer: TcpStream,
    pub(crate) mark: Arc<Mark>,
}

impl Waiting {
    /// Arms a poll on this thread's ring, or that of a worker if it has none.
    pub(crate) fn new() -> Waiting {
        let (socket, peer) = connection();
        let mut waiting = Waiting {
            socket: Arc::new(socket),
            peer,
            mark: Arc::default(),
        };
        waiting.wait();
        waiting
    }

    /// Reads what there is and waits for more.
    pub(crate) fn wait(&mut self) {
        self.mark = Arc::default();
        let waker = Waker::from(self.mark.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            let mut buffer = [0; 64];
            let read = |fd: std::os::fd::BorrowedFd<'_>| receive(fd, &mut buffer);
            match self.socket.poll_io(Direction::Read, &mut context, read) {
                Poll::Ready(read) => assert!(read.expect("a connection") > 0),
                Poll::Pending => return,
            }
        }
    }

    pub(crate) fn send(&mut self) {
        self.peer.write_all(b"x").expect("a connection");
    }
}

/// Computes until `done`.
pub(crate) fn compute(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "the hog computed in vain: {what}");
        std::hint::spin_loop();
    }
}

/// Computes on this worker until each of ten sockets that wait here was served by another one.
pub(crate) fn compute_beside_sockets(local: &mut Local, what: &str) {
    local.block_on(async {
        let mut sockets: Vec<Waiting> = (0..10).map(|_| Waiting::new()).collect();
        turn().await;
        for waiting in &mut sockets {
            waiting.send();
            compute(what, || waiting.mark.was_woken_elsewhere());
        }
    });
}

/// Lets the worker take what is queued to its ring, and comes back.
pub(crate) async fn turn() {
    let mut over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Worker 0 on this thread, beside worker 1 that sleeps.
pub(crate) fn beside_a_sleeper<R>(config: Config, f: impl FnOnce(&Reactor, &mut Local) -> R) -> R {
    let reactor = with_config(Config {
        workers: 2,
        ..config
    });
    let sleeper = Idle::start(&reactor, 1);
    wait_until_asleep(sleeper.tid);
    let mut local = reactor.attach(0).expect("a ring");
    let result = f(&reactor, &mut local);
    shut_down(local);
    sleeper.stop();
    result
}

/// Worker `index` that is asked to compute on demand.
pub(crate) fn on_demand(
    reactor: &Reactor,
    index: usize,
    jobs: mpsc::Receiver<Box<dyn FnOnce() + Send>>,
) -> (Waker, thread::JoinHandle<()>) {
    let (sender, waker) = mpsc::channel();
    let reactor = reactor.clone();
    let thread = thread::spawn(move || {
        let mut local = reactor.attach(index).expect("a ring");
        local.block_on(poll_fn(|cx| {
            // Only the first one is waited for.
            let _ = sender.send(cx.waker().clone());
            loop {
                match jobs.try_recv() {
                    Ok(job) => job(),
                    Err(mpsc::TryRecvError::Empty) => return Poll::Pending,
                    Err(mpsc::TryRecvError::Disconnected) => return Poll::Ready(()),
                }
            }
        }));
        shut_down(local);
    });
    (waker.recv_timeout(LIMIT).expect("it starts"), thread)
}
