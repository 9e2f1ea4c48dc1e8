//! Reads and receives that are dropped when the kernel knows of them, and data that come afterwards:
//! no byte goes to the buffer of a dropped call, and none is lost.
//!
//! A buffer is poisoned as soon as it is the caller's again, or freed, and looked at later: what the
//! kernel has written to it meanwhile shows.
#![cfg(not(loom))]

mod support;

use std::io::{ErrorKind, Write};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gorin_base::rng;
use gorin_reactor::{DriverKind, IoBuf, IoBufMut, Socket, ops};
use support::*;

const POISON: u8 = 0xAA;
const LEN: usize = 64;

/// The memory of buffers that were freed.
static GRAVES: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer whose memory is poisoned and kept when it is dropped.
#[derive(Default)]
struct Mourned(Box<[u8]>);

impl Mourned {
    fn new() -> Mourned {
        Mourned(vec![0; LEN].into())
    }
}

impl Drop for Mourned {
    fn drop(&mut self) {
        let mut memory = std::mem::take(&mut self.0);
        memory.fill(POISON);
        let mut graves = GRAVES.lock().unwrap_or_else(PoisonError::into_inner);
        graves.push(memory);
    }
}

// SAFETY: the memory is on the heap, and reached only through the value.
unsafe impl IoBuf for Mourned {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Mourned {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Polls a read of `buffer` once or twice, and drops it; whether it has waited.
async fn dropped_read(socket: &Socket, buffer: &mut [u8]) -> bool {
    let mut read = pin!(read(socket, buffer));
    let waits = poll_once(read.as_mut()).await.is_pending();
    ticks(rng::below(3)).await;
    waits
}

/// As [`dropped_read`], of a buffer that the operation owns.
async fn dropped_receive(socket: &Socket) -> bool {
    let mut receive = pin!(ops::recv_owned(socket, Mourned::new()));
    let waits = poll_once(receive.as_mut()).await.is_pending();
    ticks(rng::below(3)).await;
    waits
}

/// Drops a call that waits, poisons its buffer, lets the peer send, and reads what it has sent.
async fn round(number: u64) {
    let (socket, mut peer) = connection();
    for turn in 0..10 {
        let mut borrowed = [0; LEN];
        match rng::below(2) {
            0 => assert!(dropped_read(&socket, &mut borrowed).await),
            _ => assert!(dropped_receive(&socket).await),
        }
        borrowed.fill(POISON);
        let sent = (number * 10 + turn).to_le_bytes();
        if rng::below(2) == 0 {
            ticks(1 + rng::below(2)).await;
        }
        peer.write_all(&sent).expect("a socket takes eight bytes");
        ticks(rng::below(3)).await;
        let mut received = Vec::new();
        // All at once, but for the simulated driver, which may give less.
        while received.len() < sent.len() {
            let (len, buffer) = match rng::below(2) {
                0 => receive_borrowed(&socket).await,
                _ => {
                    let (len, buffer) = ops::recv_owned(&socket, Mourned::new()).await;
                    (len.expect("there is something"), buffer)
                }
            };
            assert_ne!(len, 0, "the peer has not ended");
            received.extend_from_slice(&buffer.bytes()[..len]);
        }
        assert_eq!(received, sent, "other bytes than were sent");
        assert_eq!(borrowed, [POISON; LEN], "a dropped read has written");
    }
}

/// A borrowed read, which takes first what a dropped receive had got.
async fn receive_borrowed(socket: &Socket) -> (usize, Mourned) {
    let mut buffer = Mourned::new();
    let read = socket.io(gorin_reactor::Direction::Read, |fd| {
        match socket.read_early(buffer.bytes_mut(), false) {
            Some(early) => early,
            None => receive(fd, buffer.bytes_mut()),
        }
    });
    let len = read.await.expect("there is something");
    (len, buffer)
}

fn drop_and_send(rounds: u64) {
    on_worker(|local| {
        local.block_on(async {
            for number in 0..rounds {
                round(number).await;
                ticks(2).await;
                let graves = std::mem::take(&mut *GRAVES.lock().expect("nobody panics with it"));
                let intact = graves.iter().flatten().all(|&byte| byte == POISON);
                assert!(intact, "the kernel wrote to freed memory");
            }
        });
    });
}

#[test]
fn what_comes_after_a_drop_goes_to_the_next_read() {
    drop_and_send(50);
}

/// F01: a hundred thousand drops.
#[test]
#[ignore = "the long form"]
fn what_comes_after_a_hundred_thousand_drops_goes_to_the_next_reads() {
    drop_and_send(10_000);
}

/// A call that is dropped while another one waits leaves it alone.
#[test]
fn a_dropped_call_does_not_end_another() {
    on_worker(|local| {
        local.block_on(async {
            let (socket, mut peer) = connection();
            let mut waiting = pin!(ops::recv_owned(&socket, Mourned::new()));
            assert!(poll_once(waiting.as_mut()).await.is_pending());
            ticks(1).await;
            let mut other = [0; LEN];
            assert!(dropped_read(&socket, &mut other).await);
            assert!(poll_once(waiting.as_mut()).await.is_pending());
            // One byte: of more the simulated driver may give less.
            peer.write_all(b"!").expect("room");
            let (len, buffer) = waiting.await;
            assert_eq!(&buffer.bytes()[..len.expect("data")], b"!");
            let nothing =
                socket.try_io(gorin_reactor::Direction::Read, |fd| receive(fd, &mut other));
            assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
        });
    });
}

/// CPU time that the end of a worker takes with so many reads of a pipe in flight.
fn time_to_end(calls: usize, dropped: bool) -> Option<Duration> {
    let reactor = reactor(1);
    // The simulated one takes its time.
    if !matches!(reactor.driver(), DriverKind::Uring | DriverKind::Hybrid) {
        return None;
    }
    let mut local = reactor.attach(0).expect("a ring");
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let reader = Arc::new(reader);
    let mut reads = Vec::new();
    local.block_on(async {
        for _ in 0..calls {
            let mut read = Box::pin(ops::read(&reader, vec![0; 1], 0..1, None));
            assert!(poll_once(read.as_mut()).await.is_pending());
            reads.push(read);
        }
        ops::nop().await.expect("a nop succeeds");
        if dropped {
            reads.clear();
        }
    });
    let before = cpu_time();
    shut_down(local);
    Some(cpu_time() - before)
}

/// For: a teardown that had the kernel go through all calls for each one that it cancelled.
#[test]
fn a_ring_ends_quickly_with_many_calls_in_flight_or_just_dropped() {
    // Cancelling a call by its name is no cheap matter either: the kernel has few lists of them.
    for (calls, dropped) in [(30_000, true), (10_000, false)] {
        if let Some(used) = time_to_end(calls, dropped) {
            assert!(used < Duration::from_secs(5), "{used:?} of CPU time");
        }
    }
}
