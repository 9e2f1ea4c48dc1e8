//! Nanoseconds per message of one channel on one thread, for a profiler: no peers, no runtime.
//!
//! The executor is as small as one can be: a queue of tasks and a waker that puts a task back into
//! it. `cargo run --release -p gorin-channel --example throughput [row]`; without a row, all.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use gorin_channel::{Chan, Receiver, Sender, chan, select, unbounded};

type Body = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static READY: RefCell<VecDeque<Arc<Task>>> = const { RefCell::new(VecDeque::new()) };
    static TASKS: RefCell<Vec<Option<Body>>> =
        const { RefCell::new(Vec::new()) };
}

/// A task by its number; woken at most once per poll.
struct Task {
    number: usize,
    queued: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            READY.with_borrow_mut(|ready| ready.push_back(self));
        }
    }
}

fn spawn(future: impl Future<Output = ()> + 'static) {
    let number = TASKS.with_borrow_mut(|tasks| {
        tasks.push(Some(Box::pin(future)));
        tasks.len() - 1
    });
    let queued = AtomicBool::new(false);
    Arc::new(Task { number, queued }).wake();
}

/// Polls tasks until none is ready.
fn run() {
    while let Some(task) = READY.with_borrow_mut(VecDeque::pop_front) {
        task.queued.store(false, Ordering::Release);
        let number = task.number;
        let waker = Waker::from(task);
        let taken = TASKS.with_borrow_mut(|tasks| tasks[number].take());
        let Some(mut future) = taken else { continue };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            TASKS.with_borrow_mut(|tasks| tasks[number] = Some(future));
        }
    }
    TASKS.with_borrow_mut(Vec::clear);
}

const MESSAGES: usize = 1_000_000;

async fn send_all(tx: Sender<usize>, messages: usize) {
    for n in 0..messages {
        tx.send(n).await.expect("the receiver is there");
    }
}

async fn receive_all(rx: Receiver<usize>) {
    while let Some(n) = rx.recv().await {
        black_box(n);
    }
}

fn one_to_one((tx, rx): (Sender<usize>, Receiver<usize>)) -> usize {
    spawn(send_all(tx, MESSAGES));
    spawn(receive_all(rx));
    MESSAGES
}

fn many(capacity: usize, receivers: usize) -> usize {
    const SENDERS: usize = 8;
    let (tx, rx) = chan(capacity);
    for _ in 0..SENDERS {
        spawn(send_all(tx.clone(), MESSAGES / SENDERS));
    }
    for _ in 0..receivers {
        spawn(receive_all(rx.clone()));
    }
    MESSAGES
}

fn ping_pong() -> usize {
    let (ping, pong) = (Chan::new(0), Chan::new(0));
    let (ping2, pong2) = (ping.clone(), pong.clone());
    spawn(async move {
        for n in 0..MESSAGES {
            ping.send(n).await.expect("open");
            black_box(pong.recv().await);
        }
        ping.close();
    });
    spawn(async move {
        while let Some(n) = ping2.recv().await {
            pong2.send(n).await.expect("open");
        }
    });
    MESSAGES
}

fn select_of_two() -> usize {
    let channels = [chan(1), chan(1)];
    let [(a, a_rx), (b, b_rx)] = channels;
    let open = (a.clone(), b.clone());
    spawn(send_all(a, MESSAGES / 2));
    spawn(send_all(b, MESSAGES / 2));
    spawn(async move {
        let _open = open;
        for _ in 0..MESSAGES {
            select! {
                n = a_rx.recv() => { black_box(n); }
                n = b_rx.recv() => { black_box(n); }
            }
        }
    });
    MESSAGES
}

fn select_of_eight() -> usize {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..8).map(|_| chan(1)).unzip();
    for tx in &senders {
        spawn(send_all(tx.clone(), MESSAGES / 8));
    }
    spawn(async move {
        let _open = senders;
        let [a, b, c, d, e, f, g, h] = &receivers[..] else {
            unreachable!("eight channels were made")
        };
        for _ in 0..MESSAGES {
            select! {
                n = a.recv() => { black_box(n); }
                n = b.recv() => { black_box(n); }
                n = c.recv() => { black_box(n); }
                n = d.recv() => { black_box(n); }
                n = e.recv() => { black_box(n); }
                n = f.recv() => { black_box(n); }
                n = g.recv() => { black_box(n); }
                n = h.recv() => { black_box(n); }
            }
        }
    });
    MESSAGES
}

/// Two polls per message and nothing else: what the executor alone costs.
fn bare_executor() -> usize {
    for _ in 0..2 {
        spawn(async {
            for _ in 0..MESSAGES / 2 {
                let mut yielded = false;
                std::future::poll_fn(|cx| {
                    if std::mem::replace(&mut yielded, true) {
                        return Poll::Ready(());
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            }
        });
    }
    MESSAGES
}

type Row = (&'static str, fn() -> usize);

const ROWS: &[Row] = &[
    ("executor", bare_executor),
    ("spsc.0", || one_to_one(chan(0))),
    ("spsc.1", || one_to_one(chan(1))),
    ("spsc.64", || one_to_one(chan(64))),
    ("spsc.unbounded", || one_to_one(unbounded())),
    ("mpsc8.0", || many(0, 1)),
    ("mpsc8.64", || many(64, 1)),
    ("mpmc8x8.0", || many(0, 8)),
    ("mpmc8x8.64", || many(64, 8)),
    ("pingpong", ping_pong),
    ("select2", select_of_two),
    ("select8", select_of_eight),
];

fn main() {
    let wanted = std::env::args().nth(1);
    for (name, row) in ROWS {
        if wanted.as_deref().is_some_and(|wanted| wanted != *name) {
            continue;
        }
        let mut times: Vec<_> = (0..5)
            .map(|_| {
                let messages = row();
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64() * 1e9 / messages as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{name:16} {:7.1} ns at best, {:7.1} median",
            times[0], times[2]
        );
    }
}
