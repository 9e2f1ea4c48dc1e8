//! Models of the bytes that a dropped receive leaves, against readers that come later.

use super::*;
use crate::deadline::list_then_look;
use crate::driver::Direction;
use crate::readiness::Table;
use gorin_base::check::{block_on, model};
use gorin_base::primitive::{PlainArc, thread};
use std::future::poll_fn;
use std::task::Poll;

/// One stream with two bytes, of which an orphan takes the first.
struct World {
    table: Table<()>,
    early: Early,
    stream: Mutex<VecDeque<u8>>,
}

impl World {
    fn new() -> PlainArc<World> {
        let world = World {
            table: Table::new(),
            early: Early::new(),
            stream: Mutex::new(VecDeque::from([1, 2])),
        };
        assert_eq!(world.table.insert(PlainArc::new(())), 0);
        PlainArc::new(world)
    }

    /// The kernel: the operation takes what it can and completes.
    fn complete(&self) {
        let byte = self.stream.lock().pop_front();
        match byte {
            Some(byte) => self.early.deposit(Ok(&[byte])),
            None => self.early.deposit(Err(libc::ECANCELED)),
        }
        self.table.wake(0, Direction::Read);
    }

    /// What a socket's read does.
    fn read(&self) -> u8 {
        block_on(poll_fn(|cx| {
            loop {
                let seen = self.early.observe();
                let awaited = self.early.is_awaited();
                if !awaited && let Some(byte) = self.try_read() {
                    return Poll::Ready(byte);
                }
                let list = || self.table.list(0, Direction::Read, 1, cx.waker());
                let (_, again) = list_then_look(list, || self.early.is_news(seen, awaited));
                if !again {
                    return Poll::Pending;
                }
            }
        }))
    }

    fn try_read(&self) -> Option<u8> {
        let mut byte = [0];
        match self.early.read(&mut byte, false) {
            Some(read) => assert_eq!(read.unwrap(), 1),
            None => return self.stream.lock().pop_front(),
        }
        Some(byte[0])
    }
}

/// A receive is dropped while it completes, and two reads follow: they get all bytes, in their
/// order. For: reads that do not wait for the orphan; a look at it before the read is in the list.
#[test]
fn later_reads_get_the_bytes_of_a_dropped_receive_first() {
    model("early: drop × complete × read", || {
        let world = World::new();
        world.early.expect();
        let kernel = {
            let world = world.clone();
            thread::spawn(move || world.complete())
        };
        assert_eq!([world.read(), world.read()], [1, 2]);
        kernel.join().unwrap();
        assert!(!world.early.is_present());
    });
}

/// A read finds nothing while another goroutine's receive, which has taken a byte, is dropped: the
/// read gets the byte. For: a read that is in the list and does not look at what was left.
#[test]
fn a_read_that_waits_gets_what_a_dropped_receive_has_taken() {
    model("early: read × drop", || {
        let world = World::new();
        world.stream.lock().clear();
        let dropper = {
            let world = world.clone();
            thread::spawn(move || {
                world.early.expect();
                world.early.deposit(Ok(&[1]));
                world.table.wake(0, Direction::Read);
            })
        };
        assert_eq!(world.read(), 1);
        dropper.join().unwrap();
    });
}

#[cfg(not(loom))]
mod tests {
    use super::*;

    fn read(early: &Early, len: usize, keep: bool) -> Option<Result<Vec<u8>, i32>> {
        let mut buffer = vec![0; len];
        let read = early.read(&mut buffer, keep)?;
        Some(match read {
            Ok(len) => Ok(buffer[..len].to_vec()),
            Err(error) => Err(error.raw_os_error().expect("the kernel's")),
        })
    }

    /// For: bytes that come back in another order, or behind what came after them.
    #[test]
    fn what_is_put_back_comes_first_and_in_its_order() {
        let early = Early::new();
        early.expect();
        early.deposit(Ok(b"abcdef"));
        assert_eq!(read(&early, 4, false), Some(Ok(b"abcd".to_vec())));
        let before = early.observe();
        early.put_back(b"bcd");
        assert!(early.is_news(before, false), "who waits has to try again");
        assert_eq!(read(&early, 9, true), Some(Ok(b"bcdef".to_vec())));
        assert_eq!(read(&early, 9, false), Some(Ok(b"bcdef".to_vec())));
        assert_eq!(read(&early, 9, false), None);
    }

    /// For: an error that a peek uses up, so that the read which is to get it waits for ever.
    #[test]
    fn an_error_comes_after_the_bytes_and_is_kept_by_who_only_looks() {
        let early = Early::new();
        early.expect();
        early.expect();
        early.deposit(Ok(b"ab"));
        assert!(early.is_awaited(), "one is in flight");
        early.deposit(Err(libc::ECONNRESET));
        assert!(!early.is_awaited());
        assert_eq!(read(&early, 2, false), Some(Ok(b"ab".to_vec())));
        for _ in 0..2 {
            assert_eq!(read(&early, 2, true), Some(Err(libc::ECONNRESET)));
        }
        assert_eq!(read(&early, 2, false), Some(Err(libc::ECONNRESET)));
        assert_eq!(read(&early, 2, false), None);
    }
}
