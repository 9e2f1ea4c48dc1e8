//! Models of the readiness words against mock rings. Stress tests on std threads without loom.

use super::*;
use gorin_base::check::{block_on, model, model_bounded};
use gorin_base::primitive::{AtomicUsize, Mutex, PlainArc, thread, unwinding};
use std::future::poll_fn;
use std::task::{Poll, Wake};

/// A file that notes when it is closed.
#[derive(Debug)]
struct MockFile(PlainArc<AtomicUsize>);

impl Drop for MockFile {
    fn drop(&mut self) {
        if !unwinding() {
            // Relaxed: a counter.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One socket, the kernel that knows whether it is readable, and what is in flight.
struct World {
    table: Table<MockFile>,
    /// Whether the socket is readable, and the polls that wait for it.
    kernel: Mutex<(bool, Vec<Key>)>,
    closed: PlainArc<AtomicUsize>,
}

const HERE: usize = 0;
const THERE: usize = 1;

impl World {
    /// A world with one socket, which is at index 0.
    fn new() -> PlainArc<World> {
        let world = World {
            table: Table::new(),
            kernel: Mutex::new((false, Vec::new())),
            closed: PlainArc::new(AtomicUsize::new(0)),
        };
        assert_eq!(world.insert(), 0);
        PlainArc::new(world)
    }

    fn insert(&self) -> usize {
        self.table
            .insert(PlainArc::new(MockFile(self.closed.clone())))
    }

    fn files_closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    /// As POLL_ADD: completes at once if the socket is readable.
    fn submit(&self, key: Key) {
        let mut kernel = self.kernel.lock();
        if !kernel.0 {
            kernel.1.push(key);
            return;
        }
        drop(kernel);
        self.complete(key);
    }

    /// A poll completes: the file it names must still be open.
    fn complete(&self, key: Key) -> bool {
        assert_eq!(self.files_closed(), 0, "closed while a poll names it");
        self.table.complete(key)
    }

    /// Data arrives: all polls complete, as the end of the socket's stream they see it for good.
    fn make_readable(&self) {
        let mut kernel = self.kernel.lock();
        kernel.0 = true;
        let polls = std::mem::take(&mut kernel.1);
        drop(kernel);
        for key in polls {
            self.complete(key);
        }
    }

    /// What a read does: try, then wait on ring `owner`. The error is a closed socket.
    fn poll_read(&self, id: usize, waker: &Waker, owner: usize) -> Poll<Result<(), ()>> {
        if self.kernel.lock().0 {
            return Poll::Ready(Ok(()));
        }
        match self.table.wait(0, Direction::Read, id, waker, owner) {
            Arm::Submit(key) => self.submit(key),
            Arm::Already => {}
            Arm::Closed => return Poll::Ready(Err(())),
        }
        Poll::Pending
    }

    fn read(&self, id: usize, owner: usize) -> Result<(), ()> {
        block_on(poll_fn(|cx| self.poll_read(id, cx.waker(), owner)))
    }
}

fn counted_waker(wakes: &PlainArc<AtomicUsize>) -> Waker {
    struct Count(PlainArc<AtomicUsize>);
    impl Wake for Count {
        fn wake(self: PlainArc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    Waker::from(PlainArc::new(Count(wakes.clone())))
}

/// Two readers of one socket on two rings, one arrival: both are woken. For: a waiter that adds
/// itself after it looked at the word.
#[test]
fn every_reader_is_woken() {
    model_bounded("readiness: two readers × arrival", 3, || {
        let world = World::new();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.read(2, THERE))
        };
        let kernel = {
            let world = world.clone();
            thread::spawn(move || world.make_readable())
        };
        assert_eq!(world.read(1, HERE), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
        kernel.join().unwrap();
        world.table.release(0);
        assert_eq!(world.files_closed(), 1);
    });
}

/// A close ends a read that waits or is about to. For: arming after the close, when nobody will
/// cancel any more.
#[test]
fn a_close_ends_a_read() {
    model("readiness: read × close", || {
        let world = World::new();
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read(1, HERE))
        };
        let armed = world.table.close(0);
        assert_eq!(reader.join().unwrap(), Err(()));
        // The owner cancels what the closer found armed, after all that was submitted before.
        let polls = std::mem::take(&mut world.kernel.lock().1);
        for poll in polls {
            let cancelled = armed.iter().flatten().any(|&(_, key)| key == poll);
            assert!(cancelled, "a poll that nobody cancels");
            world.complete(poll);
        }
        world.table.release(0);
        assert_eq!(world.files_closed(), 1);
    });
}

/// The armed poll completes while another ring takes the socket over: exactly one completion
/// counts, and it wakes. For: the generation not moved; a stale completion that counts.
#[test]
fn one_completion_counts() {
    model("readiness: complete × evacuate", || {
        let world = World::new();
        let wakes = PlainArc::new(AtomicUsize::new(0));
        let waker = counted_waker(&wakes);
        let Arm::Submit(old) = world.table.wait(0, Direction::Read, 1, &waker, HERE) else {
            panic!("the first waiter arms");
        };
        let watcher = {
            let world = world.clone();
            thread::spawn(move || world.table.evacuate(0, Direction::Read, HERE, THERE))
        };
        let old_counts = world.complete(old);
        match watcher.join().unwrap() {
            None => assert!(old_counts, "nobody may count the only poll"),
            Some(moved) => {
                assert_eq!(moved.stale, old);
                assert!(!old_counts, "a completion of a ring that lost the socket");
                assert!(world.complete(moved.armed));
            }
        }
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
    });
}

/// The socket is dropped while a poll is in flight and another ring takes it over: the file is
/// closed once, by the last of the completions. For: no pin; closing at the first completion.
#[test]
fn the_file_outlives_its_polls() {
    model_bounded("readiness: drop × evacuate × complete", 3, || {
        let world = World::new();
        let Arm::Submit(old) = world.table.wait(0, Direction::Read, 1, Waker::noop(), HERE) else {
            panic!("the first waiter arms");
        };
        let watcher = {
            let world = world.clone();
            thread::spawn(move || {
                if let Some(moved) = world.table.evacuate(0, Direction::Read, HERE, THERE) {
                    world.complete(moved.armed);
                }
            })
        };
        let owner = {
            let world = world.clone();
            thread::spawn(move || world.complete(old))
        };
        world.table.close(0);
        world.table.release(0);
        watcher.join().unwrap();
        owner.join().unwrap();
        assert_eq!(world.files_closed(), 1);
        assert_eq!(world.insert(), 0, "the slot is free");
    });
}

/// Two rings want the standing poll of one socket: one of them gets it, and the file outlives it, when
/// it ends by itself while the socket is dropped, whoever sees it first. For: two of them, of which
/// only one is cancelled; no pin.
#[test]
fn a_standing_poll_is_the_only_one_and_ends_before_the_file() {
    model_bounded("readiness: two standing × drop", 3, || {
        let world = World::new();
        let start = |world: &World, ring| world.table.start_standing(0, ring);
        let other = {
            let world = world.clone();
            thread::spawn(move || start(&world, THERE))
        };
        let here = start(&world, HERE);
        assert_ne!(here, other.join().unwrap(), "one of them gets it");
        let ring = {
            let world = world.clone();
            thread::spawn(move || {
                assert_eq!(world.files_closed(), 0, "closed while a poll names it");
                world.table.end_standing(0);
            })
        };
        world.table.close(0);
        let owner = if here { HERE } else { THERE };
        if let Some(found) = world.table.standing(0) {
            assert_eq!(found, (owner, standing_key(0)), "whom to ask to cancel it");
        }
        world.table.release(0);
        ring.join().unwrap();
        assert_eq!(world.files_closed(), 1);
        assert_eq!(world.insert(), 0, "the slot is free");
        assert_eq!(world.table.standing(0), None, "of the last socket");
    });
}

/// A message asks the owner to arm while the socket is closed and dropped: either the poll is never
/// submitted or it is cancelled, and the slot becomes free. For: a message that no pin protects.
#[test]
fn a_late_message_finds_a_closed_socket() {
    model("readiness: armed by message × drop", || {
        let world = World::new();
        let Arm::Submit(key) = world
            .table
            .wait(0, Direction::Write, 1, Waker::noop(), HERE)
        else {
            panic!("the first waiter arms");
        };
        let owner = {
            let world = world.clone();
            thread::spawn(move || {
                if world.table.is_wanted(key) {
                    // Submitted, and cancelled by the message that the closer sends.
                    world.complete(key);
                } else {
                    assert_eq!(world.files_closed(), 0, "closed under a message");
                    world.table.release(key.index() >> 1);
                }
            })
        };
        assert_eq!(
            world.table.close(0)[1].map(|poll| poll.0).unwrap_or(HERE),
            HERE
        );
        world.table.release(0);
        owner.join().unwrap();
        assert_eq!(world.files_closed(), 1);
    });
}

/// Who gives up is in no list afterwards, wherever its poll is by now. For: one who takes the list for
/// taken while its poll is armed.
#[test]
fn who_leaves_is_forgotten() {
    model("readiness: leave × evacuate × complete", || {
        let world = World::new();
        let wakes = PlainArc::new(AtomicUsize::new(0));
        let waker = counted_waker(&wakes);
        let Arm::Submit(old) = world.table.wait(0, Direction::Read, 1, &waker, HERE) else {
            panic!("the first waiter arms");
        };
        drop(waker);
        let watcher = {
            let world = world.clone();
            thread::spawn(move || world.table.evacuate(0, Direction::Read, HERE, THERE))
        };
        world.table.leave(0, Direction::Read, 1);
        let moved = watcher.join().unwrap();
        assert_eq!(
            PlainArc::strong_count(&wakes),
            1,
            "its waker is still listed"
        );

        let waker = counted_waker(&wakes);
        let armed = moved.map_or(old, |moved| moved.armed);
        assert_eq!(
            world.table.wait(0, Direction::Read, 1, &waker, HERE),
            Arm::Already
        );
        drop(waker);
        let ring = {
            let world = world.clone();
            thread::spawn(move || world.complete(armed))
        };
        world.table.leave(0, Direction::Read, 1);
        assert!(ring.join().unwrap());
        assert_eq!(
            PlainArc::strong_count(&wakes),
            1,
            "its waker is still listed"
        );
    });
}

/// A waker that comes back to the socket when it is woken, as an executor that runs the task at
/// once would. For: waking under the lock.
#[test]
fn a_waker_may_come_back() {
    model("readiness: wake × register", || {
        struct Again(PlainArc<World>);
        impl Wake for Again {
            fn wake(self: PlainArc<Self>) {
                let table = &self.0.table;
                if let Arm::Submit(key) = table.wait(0, Direction::Read, 7, Waker::noop(), HERE) {
                    self.0.submit(key);
                }
            }
        }
        let world = World::new();
        let waker = Waker::from(PlainArc::new(Again(world.clone())));
        assert!(world.poll_read(1, &waker, HERE).is_pending());
        let kernel = {
            let world = world.clone();
            thread::spawn(move || world.make_readable())
        };
        let _ = world.poll_read(2, Waker::noop(), THERE);
        kernel.join().unwrap();
        // The list holds no waker that holds the world.
        world.table.close(0);
    });
}

/// A ring that ends wakes who waited for it, and its polls count no more. For: goroutines that
/// wait for a ring that is gone.
#[test]
fn a_dead_ring_leaves_nobody_waiting() {
    model("readiness: abandon × complete", || {
        let world = World::new();
        let wakes = PlainArc::new(AtomicUsize::new(0));
        let waker = counted_waker(&wakes);
        let Arm::Submit(key) = world.table.wait(0, Direction::Read, 1, &waker, HERE) else {
            panic!("the first waiter arms");
        };
        let owner = {
            let world = world.clone();
            thread::spawn(move || world.complete(key))
        };
        world.table.abandon(HERE);
        owner.join().unwrap();
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
    });
}

/// The generation outlives the socket: the next socket in the slot is not disturbed by what is left
/// of the last one.
#[cfg(not(loom))]
#[test]
fn a_reused_slot_has_another_generation() {
    let world = World::new();
    let Arm::Submit(old) = world.table.wait(0, Direction::Read, 1, Waker::noop(), HERE) else {
        panic!("the first waiter arms");
    };
    world.table.close(0);
    world.table.release(0);
    assert_eq!(world.insert(), 1, "the slot is pinned by its poll");
    assert!(world.table.complete(old));
    assert_eq!(world.insert(), 0);
    let Arm::Submit(new) = world.table.wait(0, Direction::Read, 1, Waker::noop(), HERE) else {
        panic!("the new socket is open");
    };
    assert_ne!(old, new);
    assert!(!world.table.is_wanted(old) && world.table.is_wanted(new));
    assert_eq!(place(new), (0, Direction::Read));
}

#[cfg(not(loom))]
#[test]
fn slots_keep_their_place_while_the_table_grows() {
    let table = Table::new();
    for index in 0..1000 {
        assert_eq!(table.insert(PlainArc::new(index)), index);
    }
    assert!((0..1000).all(|index| *table.file(index) == index));
    table.release(500);
    assert_eq!(table.insert(PlainArc::new(500)), 500);
}
