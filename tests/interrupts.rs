//! Signals that interrupt every thread a thousand times a second disturb nothing: no call fails, no
//! byte is lost, no timer is early.
//!
//! Alone in its process, whose threads it interrupts.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::fs;
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{TempDir, within_patience};
use gorin::net::{TcpListener, TcpStream, UnixStream};
use gorin::{Runtime, go, time};

static HANDLED: AtomicUsize = AtomicUsize::new(0);
static BROKEN_PIPES: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handle(signal: libc::c_int) {
    let count = match signal {
        libc::SIGPIPE => &BROKEN_PIPES,
        _ => &HANDLED,
    };
    count.fetch_add(1, Ordering::Relaxed);
}

/// Handles `signal` without `SA_RESTART`, so that calls say that they were interrupted.
fn install_handler(signal: libc::c_int) {
    // SAFETY: all zeroes is a valid value: no flags, no mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler adds to an atomic, which is allowed in one.
    let installed = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    assert_eq!(installed, 0);
}

/// Sends a signal to each thread of this process.
fn interrupt_all() {
    let threads = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    for thread in threads.flatten() {
        let tid: libc::c_long = thread
            .file_name()
            .to_string_lossy()
            .parse()
            .expect("the kernel counts threads");
        // SAFETY: names a thread of this process; one that is gone by now is an error.
        unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), tid, libc::SIGUSR1) };
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

/// Messages that came back.
static EXCHANGED: AtomicUsize = AtomicUsize::new(0);

/// Connects, exchanges messages and disconnects, again and again.
async fn client(server: std::net::SocketAddr, done: Arc<AtomicBool>) -> io::Result<()> {
    let message: Vec<u8> = (0..=255).cycle().take(3_000).collect();
    while !done.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(server).await?;
        for _ in 0..10 {
            let mut answer = vec![0; message.len()];
            stream.write_all(&message).await?;
            stream.read_exact(&mut answer).await?;
            assert!(answer == message, "other bytes came back");
            EXCHANGED.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

async fn files(directory: &TempDir, done: &AtomicBool) -> io::Result<()> {
    let path = directory.path("interrupted");
    while !done.load(Ordering::Relaxed) {
        gorin::fs::write(&path, vec![7; 10_000]).await?;
        assert_eq!(gorin::fs::read(&path).await?, [7; 10_000]);
        let (start, pause) = (Instant::now(), Duration::from_micros(500));
        time::sleep(pause).await;
        assert!(start.elapsed() >= pause, "a timer was early");
    }
    Ok(())
}

/// For as many rounds of interrupts: echo, files and timers on two workers.
fn survive(rounds: usize) {
    install_handler(libc::SIGUSR1);
    let done = Arc::new(AtomicBool::new(false));
    let interrupts = {
        let done = done.clone();
        thread::spawn(move || {
            let exchanged = || EXCHANGED.load(Ordering::Relaxed);
            let mut round = 0;
            // On a busy machine the first messages may take longer than all rounds.
            while round < rounds || exchanged() == 0 {
                interrupt_all();
                // The pace of the load, not a wait for anything.
                thread::sleep(Duration::from_millis(1));
                round += 1;
            }
            done.store(true, Ordering::Relaxed);
        })
    };
    let directory = TempDir::new();
    let ran = Runtime::builder().workers(2).run(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let server = listener.local_addr()?;
        go(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("an interrupt is no error");
                go(async move { echo(stream).await.expect("an interrupt is no error") });
            }
        });
        let clients: Vec<_> = (0..4).map(|_| go(client(server, done.clone()))).collect();
        files(&directory, &done).await?;
        for client in clients {
            client.await??;
        }
        io::Result::Ok(())
    });
    ran.expect("it starts").expect("nothing fails");
    interrupts.join().expect("it only sends");
    let handled = HANDLED.load(Ordering::Relaxed);
    assert!(handled >= rounds, "{handled} signals for {rounds} rounds");
}

/// Property: `EINTR` reaches nobody.
#[test]
fn signals_at_a_kilohertz_disturb_nothing() {
    within_patience(|| survive(500));
}

/// The same for ten seconds.
#[test]
#[ignore = "takes ten seconds"]
fn signals_at_a_kilohertz_disturb_nothing_for_long() {
    within_patience(|| survive(10_000));
}

/// Every way to write to a peer that is gone gives an error, and no signal, which would end a program
/// that has not switched it off, as Rust's start-up code does and a host in another language may not.
#[test]
fn a_peer_that_is_gone_raises_no_signal() {
    install_handler(libc::SIGPIPE);
    within_patience(|| {
        let program = async {
            for way in 0..5 {
                let (left, right) = UnixStream::pair()?;
                drop(right);
                let result = match way {
                    0 => left.write(b"x").await.map(drop),
                    1 => left.write_vectored(&[IoSlice::new(b"x")]).await.map(drop),
                    2 => left.try_write(b"x").map(drop),
                    3 => left.write_all_owned("x").await.0,
                    _ => left.write_all_zero_copy("x").await.0,
                };
                let kind = result.unwrap_err().kind();
                assert_eq!(kind, io::ErrorKind::BrokenPipe, "way {way}");
            }
            io::Result::Ok(())
        };
        Runtime::builder().workers(1).run(program).unwrap().unwrap();
    });
    assert_eq!(BROKEN_PIPES.load(Ordering::Relaxed), 0);
}
