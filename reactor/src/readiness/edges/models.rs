//! Models of waiting by edges against a mock socket. Stress tests on std threads without loom.

use super::*;
use gorin_base::check::{block_on, model, model_bounded};
use gorin_base::primitive::{AtomicUsize, PlainArc, thread};
use std::future::poll_fn;
use std::task::Poll;

/// One socket, which is at index 0, and what the kernel has for it. Relaxed on purpose: what makes a
/// reader find what an edge tells of must be the word.
struct World {
    table: Table<()>,
    /// Bytes to read, and [`FIN`].
    stream: AtomicUsize,
}

/// The peer has sent its end.
const FIN: usize = 1 << 8;

/// What `recv` of one byte gives.
#[derive(PartialEq)]
enum Read {
    Byte,
    End,
    WouldBlock,
}

impl World {
    fn new() -> PlainArc<World> {
        let world = World {
            table: Table::new(),
            stream: AtomicUsize::new(0),
        };
        world.insert();
        PlainArc::new(world)
    }

    fn insert(&self) {
        assert_eq!(self.table.insert(PlainArc::new(())), 0);
    }

    /// Data arrives, and somebody harvests the event.
    fn receive(&self, bytes: usize) {
        self.stream.fetch_add(bytes, Ordering::Relaxed);
        self.table.edge(0, Direction::Read, Edge::Ready);
    }

    fn receive_byte(&self) -> Read {
        let mut stream = self.stream.load(Ordering::Relaxed);
        loop {
            match stream {
                0 => return Read::WouldBlock,
                FIN => return Read::End,
                _ => {}
            }
            let exchanged = self.stream.compare_exchange(
                stream,
                stream - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => return Read::Byte,
                Err(now) => stream = now,
            }
        }
    }

    fn wait(&self, id: usize, waker: &Waker, seen: Seen, reason: Reason) -> Waiting {
        let table = &self.table;
        table.wait_edge(0, Direction::Read, id, waker, seen, reason)
    }

    /// Reads one byte, waiting for it.
    fn read(&self, id: usize) -> Result<(), Waiting> {
        block_on(poll_fn(|cx| {
            loop {
                let seen = self.table.observe(0, Direction::Read);
                if self.receive_byte() == Read::Byte {
                    return Poll::Ready(Ok(()));
                }
                match self.wait(id, cx.waker(), seen, Reason::Blocked) {
                    Waiting::Listed => return Poll::Pending,
                    Waiting::Again => {}
                    end => return Poll::Ready(Err(end)),
                }
            }
        }))
    }

    /// Reads until the end of the stream, and trusts that a read which got all that there was need
    /// not be followed by one that finds nothing. Returns how much it got.
    fn read_to_end(&self) -> usize {
        let mut got = 0;
        block_on(poll_fn(|cx| {
            loop {
                let seen = self.table.observe(0, Direction::Read);
                let reason = match self.receive_byte() {
                    Read::Byte => {
                        got += 1;
                        Reason::Short
                    }
                    Read::End => return Poll::Ready(()),
                    Read::WouldBlock => Reason::Blocked,
                };
                if self.wait(1, cx.waker(), seen, reason) == Waiting::Listed {
                    return Poll::Pending;
                }
            }
        }));
        got
    }
}

/// Data comes while a reader tries and then waits: it is woken, or tries again. For: an edge that is
/// not counted because nobody waits yet; a count that does not bring the data along; a waiter
/// that is listed after the edge has woken all.
#[test]
fn an_edge_is_not_missed() {
    model("edges: read × edge", || {
        let world = World::new();
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read(1))
        };
        world.receive(1);
        assert_eq!(reader.join().unwrap(), Ok(()));
    });
}

/// One edge tells of data for two readers: both get theirs. For: the first reader taking the edge
/// away from the second.
#[test]
fn one_edge_serves_all_readers() {
    model_bounded("edges: two readers × edge", 2, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.read(2))
        };
        let kernel = {
            let world = world.clone();
            thread::spawn(move || world.receive(2))
        };
        assert_eq!(world.read(1), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
        kernel.join().unwrap();
    });
}

/// Data and the end of the stream come with one event: the reader that got the data in a read that
/// came short finds the end. For: believing the hint when the end has been told of.
#[test]
fn a_short_read_does_not_hide_the_end() {
    model("edges: short read × end", || {
        let world = World::new();
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read_to_end())
        };
        world.stream.fetch_add(1 | FIN, Ordering::Relaxed);
        world.table.edge(0, Direction::Read, Edge::HungUp);
        assert_eq!(reader.join().unwrap(), 1);
    });
}

/// A close ends a read that waits or is about to. For: waiting after the close.
#[test]
fn a_close_ends_a_wait() {
    model("edges: read × close", || {
        let world = World::new();
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read(1))
        };
        assert_eq!(world.table.close(0), [None, None], "nothing is in flight");
        assert_eq!(reader.join().unwrap(), Err(Waiting::Closed));
    });
}

/// An event of the last socket comes when its slot has the next one, whose own data comes as well:
/// its reader is served. For: an edge lost in the change of sockets.
#[test]
fn a_stale_event_disturbs_nobody() {
    model_bounded("edges: reuse × stale event × edge", 2, || {
        let world = World::new();
        let kernel = {
            let world = world.clone();
            thread::spawn(move || {
                world.table.edge(0, Direction::Read, Edge::HungUp);
                world.receive(1);
            })
        };
        world.table.close(0);
        world.table.release(0);
        world.insert();
        assert_eq!(world.read(1), Ok(()));
        kernel.join().unwrap();
    });
}

/// The last worker ends while somebody begins to wait: it does not wait. For: looking for the end
/// before waiting; telling of it after the look at who waits.
#[test]
fn the_last_worker_leaves_nobody_waiting() {
    model("edges: wait × end of the last worker", || {
        let world = World::new();
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read(1))
        };
        world.table.end_edges();
        assert_eq!(reader.join().unwrap(), Err(Waiting::Ended));
    });
}

/// The same for a socket that is made meanwhile, in a slot that was used before or not. For: a new
/// socket's word that hides what the last worker wrote.
#[test]
fn a_new_socket_learns_that_no_worker_is_left() {
    for again in [true, false] {
        model("edges: new socket × end of the last worker", move || {
            let world = World::new();
            if again {
                world.table.close(0);
                world.table.release(0);
            }
            let reader = {
                let world = world.clone();
                thread::spawn(move || {
                    let index = world.table.insert(PlainArc::new(()));
                    let wait = |waker: &Waker| {
                        let seen = world.table.observe(index, Direction::Read);
                        let table = &world.table;
                        table.wait_edge(index, Direction::Read, 1, waker, seen, Reason::Blocked)
                    };
                    block_on(poll_fn(|cx| match wait(cx.waker()) {
                        Waiting::Listed => Poll::Pending,
                        Waiting::Again => {
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        }
                        end => Poll::Ready(end),
                    }))
                })
            };
            world.table.end_edges();
            assert_eq!(reader.join().unwrap(), Waiting::Ended);
        });
    }
}
