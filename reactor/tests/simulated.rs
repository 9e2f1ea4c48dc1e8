//! Echo, file and timer programs on the simulated driver (`reactor/src/simulated.rs`), which delays,
//! reorders, shortens, refuses and cancels late: nothing may be lost, and nothing may stay open.
//!
//! `GORIN_SIMULATED_SEEDS=<n>` runs each program for that many seeds; a failure names its seed, and
//! `GORIN_SEED=<seed>` runs that one alone.
#![cfg(not(loom))]

mod support;

use std::fs;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, join, join_all, join3, select};
use gorin_reactor::{Config, DriverKind, Local, Reactor, Sleep, Socket, ops};
use support::{LIMIT, alone, open_descriptors, poll_once, read, shut_down, ticks, write_all};

/// Seeds per program, unless the environment says otherwise.
const SEEDS: u64 = 1000;

fn seeds() -> Range<u64> {
    let number = |name| {
        let value = std::env::var(name).ok()?;
        Some(value.parse().expect("a number"))
    };
    match number("GORIN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("GORIN_SIMULATED_SEEDS").unwrap_or(SEEDS),
    }
}

fn simulated(seed: u64, workers: usize) -> Reactor {
    let config = Config {
        workers,
        driver: Some(DriverKind::Simulated { seed }),
        ..Config::default()
    };
    Reactor::new(config).expect("a simulated driver needs nothing")
}

/// Runs `program` on a worker of its own for every seed; says which seed failed.
fn for_all_seeds(program: impl Fn(&mut fastrand::Rng, &mut Local)) {
    let _alone = alone();
    let before = open_descriptors();
    for seed in seeds() {
        let run = || {
            let mut local = simulated(seed, 1).attach(0).expect("a worker");
            program(&mut fastrand::Rng::with_seed(seed), &mut local);
            shut_down(local);
            assert_eq!(open_descriptors(), before, "descriptors were left open");
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            eprintln!("failed with GORIN_SEED={seed}");
            resume_unwind(payload);
        }
    }
}

fn bytes(dice: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    let len = dice.usize(0..=most);
    std::iter::repeat_with(|| dice.u8(..)).take(len).collect()
}

/// Two connected sockets of this thread's reactor, with little room in between.
fn pair() -> (Socket, Socket) {
    let (a, b) = UnixStream::pair().expect("a pair");
    let socket = |stream: UnixStream| {
        stream.set_nonblocking(true).expect("a flag");
        let room: libc::c_int = 1;
        // SAFETY: reads an integer that lives through the call.
        let set = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_SNDBUF,
                (&raw const room).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(set, 0);
        Socket::new(stream.into()).expect("a reactor")
    };
    (socket(a), socket(b))
}

/// Repeats what failed in a way that the simulation makes up.
async fn insist<T, F: Future<Output = io::Result<T>>>(mut attempt: impl FnMut() -> F) -> T {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert_is_made_up(&error),
        }
    }
}

fn assert_is_made_up(error: &io::Error) {
    const MADE_UP: &[i32] = &[libc::EINTR, libc::EIO, libc::EMFILE, libc::ENFILE];
    let errno = error.raw_os_error().unwrap_or(0);
    assert!(MADE_UP.contains(&errno), "{error}");
}

async fn send_and_end(socket: &Socket, bytes: &[u8]) {
    write_all(socket, bytes).await.expect("the peer listens");
    socket
        .io(gorin_reactor::Direction::Write, |fd| {
            // SAFETY: touches no memory.
            match unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
        .await
        .expect("the socket is connected");
}

async fn receive_all(socket: &Socket) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = [0; 512];
    loop {
        match read(socket, &mut buffer).await.expect("the peer sends") {
            0 => return received,
            n => received.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Property: what is sent comes back, whole and in order, on several connections at once.
#[test]
fn echo_returns_every_byte() {
    for_all_seeds(|dice, local| {
        let sent: Vec<Vec<u8>> = (0..3).map(|_| bytes(dice, 20_000)).collect();
        local.block_on(join_all(sent.iter().map(|sent| async {
            let (ours, theirs) = pair();
            let client = async {
                let (received, ()) = join(receive_all(&ours), send_and_end(&ours, sent)).await;
                assert!(received == *sent, "{} of {}", received.len(), sent.len());
            };
            let (served, ()) = join(support::echo(theirs), client).await;
            assert_eq!(served.expect("the client goes on"), sent.len());
        })));
    });
}

/// Sends `bytes` by operations that own them, however little is taken at a time, and ends.
async fn send_owned_and_end(socket: &Socket, bytes: &[u8]) {
    let (mut buffer, mut sent) = (bytes.to_vec(), 0);
    while sent < bytes.len() {
        let result;
        (result, buffer) = ops::send_owned(socket, buffer, sent).await;
        sent += result.expect("the peer listens");
    }
    send_and_end(socket, &[]).await;
}

/// Receives to the end by operations that own their buffer, of which many are dropped on their way.
async fn receive_or_drop(socket: &Socket, dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut received = Vec::new();
    loop {
        let receive = pin!(ops::recv_owned(socket, vec![0; 512]));
        let patience = pin!(ticks(dice.usize(1..20)));
        if let Either::Left(((result, buffer), _)) = select(receive, patience).await {
            match result.expect("the peer sends") {
                0 => return received,
                n => received.extend_from_slice(&buffer[..n]),
            }
        }
    }
}

/// Property: what dropped receives have taken, or take later, comes with the next ones, in order.
#[test]
fn dropped_receives_lose_no_byte() {
    for_all_seeds(|dice, local| {
        let sent = bytes(dice, 10_000);
        let (ours, theirs) = pair();
        let receive = receive_or_drop(&theirs, dice);
        let (received, ()) = local.block_on(join(receive, send_owned_and_end(&ours, &sent)));
        assert!(received == sent, "{} of {}", received.len(), sent.len());
    });
}

/// Writes `bytes` at `offset`, however little is taken at a time.
async fn write_all_at(file: &Arc<OwnedFd>, bytes: &[u8], offset: usize) {
    let mut written = 0;
    while written < bytes.len() {
        written += insist(|| async {
            let at = (offset + written) as u64;
            ops::write_at(file, bytes[written..].to_vec(), at).await.0
        })
        .await;
    }
}

/// Reads to the end, however little comes at a time.
async fn read_all(file: &Arc<OwnedFd>) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let (result, buffer) = ops::read_at(file, vec![0; 700], whole.len() as u64).await;
        match result {
            Ok(0) => return whole,
            Ok(n) => whole.extend_from_slice(&buffer[..n]),
            Err(error) => assert_is_made_up(&error),
        }
    }
}

/// Property: a file holds what was written to it, whatever was shortened, refused or reordered.
#[test]
fn files_hold_what_was_written() {
    let path = std::env::temp_dir().join(format!("gorin-simulated-{}", std::process::id()));
    for_all_seeds(|dice, local| {
        let mut expected = vec![0; 4_096];
        let file = local.block_on(insist(|| {
            ops::open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600)
        }));
        let file = Arc::new(file);
        // Neighbours, so that their order does not matter.
        let pieces: Vec<Vec<u8>> = (0..4).map(|_| bytes(dice, 1_024)).collect();
        for (index, piece) in pieces.iter().enumerate() {
            expected[index * 1_024..][..piece.len()].copy_from_slice(piece);
        }
        local.block_on(async {
            write_all_at(&file, &vec![0; 4_096], 0).await;
            let writes = pieces.iter().enumerate();
            join_all(writes.map(|(index, piece)| write_all_at(&file, piece, index * 1_024))).await;
            insist(|| ops::fsync(&file)).await;
            assert!(read_all(&file).await == expected, "the file differs");
        });
        let file = Arc::into_inner(file).expect("no operation holds it any more");
        local.block_on(ops::close(file)).expect("it was open");
    });
    fs::remove_file(&path).expect("it was made");
}

/// Property: timers fire once, never early, whatever else completes; those that are dropped do not
/// matter.
#[test]
fn timers_fire_and_not_early() {
    for_all_seeds(|dice, local| {
        let start = Instant::now();
        let sleeps: Vec<Duration> = (0..12)
            .map(|_| Duration::from_micros(dice.u64(0..300)))
            .collect();
        local.block_on(async {
            join_all(sleeps.iter().enumerate().map(|(index, sleep)| async move {
                let deadline = start + *sleep;
                if index % 3 == 0 {
                    let mut dropped = pin!(Sleep::until(deadline + LIMIT));
                    assert!(poll_once(dropped.as_mut()).await.is_pending());
                }
                Sleep::until(deadline).await;
                assert!(Instant::now() >= deadline, "a timer was early");
                ops::nop().await.expect("nothing can fail");
            }))
            .await
        });
    });
}

/// Property: whatever is dropped in flight leaves no descriptor open and no byte lost: a dropped
/// `open` closes its file, a dropped read of a socket has read nothing.
#[test]
fn dropped_operations_leave_nothing_behind() {
    for_all_seeds(|dice, local| {
        let sent = bytes(dice, 2_000);
        local.block_on(async {
            let (ours, theirs) = pair();
            let receive = async {
                let mut received = Vec::new();
                let mut buffer = [0; 64];
                loop {
                    // Dropped after its first poll, as often as the dice say.
                    let looks = dice.usize(1..4);
                    let Some(n) = within(looks, read(&theirs, &mut buffer)).await else {
                        continue;
                    };
                    match n.expect("the peer sends") {
                        0 => return received,
                        n => received.extend_from_slice(&buffer[..n]),
                    }
                }
            };
            let disturb = async {
                for _ in 0..8 {
                    let _ = within(2, ops::open("/proc/version", libc::O_RDONLY, 0)).await;
                }
            };
            let (received, (), ()) = join3(receive, send_and_end(&ours, &sent), disturb).await;
            assert!(received == sent, "{} of {}", received.len(), sent.len());
        });
    });
}

/// What `future` gives within so many polls.
async fn within<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        match poll_once(future.as_mut()).await {
            std::task::Poll::Ready(value) => return Some(value),
            std::task::Poll::Pending => ops::nop().await.expect("nothing can fail"),
        }
    }
    None
}
