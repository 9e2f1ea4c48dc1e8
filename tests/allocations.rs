//! Requests allocate nothing once a server is warm: counted by the global allocator, over all
//! threads, on each driver.
//!
//! The test must stay the only one of its program: another one's allocations would count.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{PATIENCE, TempDir, within};
use gorin::fs::File;
use gorin::net::{TcpListener, TcpStream, UdpSocket};
use gorin::prelude::*;
use gorin::runtime::DriverKind;
use gorin::time::sleep;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator; counting changes nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests that were answered.
static SERVED: AtomicU64 = AtomicU64::new(0);

/// Before the count begins: every queue has been as long as it gets.
const WARM_UP: u64 = 4000;
const COUNTED: u64 = 8000;
const WINDOWS: usize = 5;

/// What runs until it is dropped.
struct Load(Vec<gorin::JoinHandle<io::Result<()>>>);

impl Load {
    fn add(&mut self, goroutine: impl Future<Output = io::Result<()>> + Send + 'static) {
        self.0.push(go(goroutine));
    }

    /// Adds one that makes request after request.
    fn repeat<F>(&mut self, mut request: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = io::Result<()>> + Send,
    {
        self.add(async move {
            loop {
                request().await?;
                answered();
            }
        });
    }

    /// The number of allocations for each request, when all is warm: the least of a few windows, up to one
    /// with at most `enough`. Where workers are kept from running by others on a busy machine, each takes
    /// the other for one that computes and moves its sockets, which costs some.
    async fn allocations(self, enough: f64) -> f64 {
        wait_for(WARM_UP).await;
        let mut least = f64::INFINITY;
        for _ in 0..WINDOWS {
            least = least.min(window().await);
            if least <= enough {
                break;
            }
        }
        for goroutine in self.0 {
            goroutine.abort();
            let _cancelled = goroutine.await;
        }
        least
    }
}

/// The number of allocations for each of some requests.
async fn window() -> f64 {
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let (served, before) = (count(&SERVED), count(&ALLOCATIONS));
    wait_for(COUNTED).await;
    let allocated = count(&ALLOCATIONS) - before;
    allocated as f64 / (count(&SERVED) - served) as f64
}

fn answered() {
    SERVED.fetch_add(1, Ordering::Relaxed);
}

/// Waits until `count` more requests have been answered.
async fn wait_for(count: u64) {
    let (start, deadline) = (SERVED.load(Ordering::Relaxed), Instant::now() + PATIENCE);
    while SERVED.load(Ordering::Relaxed) < start + count {
        assert!(Instant::now() < deadline, "requests are not answered");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Connections whose clients ask again and again, in lockstep, so that both ends always wait for
/// readiness; `serve` has the other ends.
async fn lockstep<F>(serve: impl Fn(TcpStream) -> F) -> io::Result<Load>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut load = Load(Vec::new());
    for _ in 0..20 {
        let client = TcpStream::connect(listener.local_addr()?).await?;
        load.add(serve(listener.accept().await?.0));
        load.add(async move {
            let mut buf = [1; 64];
            loop {
                client.write_all(&buf).await?;
                client.read_exact(&mut buf).await?;
                answered();
            }
        });
    }
    Ok(load)
}

async fn borrowed_echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 64];
    while let len @ 1.. = stream.read(&mut buf).await? {
        stream.write_all(&buf[..len]).await?;
    }
    Ok(())
}

async fn owned_echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = vec![0; 64];
    loop {
        let (len, received) = stream.recv_owned(buf).await;
        if len? < received.len() {
            return Ok(());
        }
        let (sent, back) = stream.write_all_owned(received).await;
        sent?;
        buf = back;
    }
}

async fn pooled_echo(stream: TcpStream) -> io::Result<()> {
    loop {
        let message = stream.recv_pooled(4096).await?;
        if message.is_empty() {
            return Ok(());
        }
        stream.write_all(&message).await?;
    }
}

async fn datagrams() -> io::Result<Load> {
    let mut load = Load(Vec::new());
    for _ in 0..10 {
        let server = UdpSocket::bind("127.0.0.1:0").await?;
        let (client, address) = (UdpSocket::bind("127.0.0.1:0").await?, server.local_addr()?);
        load.add(async move {
            let mut buf = [0; 64];
            loop {
                let (len, from) = server.recv_from(&mut buf).await?;
                server.send_to(&buf[..len], from).await?;
            }
        });
        load.add(async move {
            let mut buf = [0; 64];
            loop {
                client.send_to(&buf, address).await?;
                client.recv_from(&mut buf).await?;
                answered();
            }
        });
    }
    Ok(load)
}

/// 64 reads at a time, each of `len` bytes.
async fn reads(dir: &TempDir, len: usize) -> io::Result<Load> {
    let path = dir.path("file");
    std::fs::write(&path, vec![1; 1 << 20])?;
    let file = Arc::new(File::open(path).await?);
    let mut load = Load(Vec::new());
    for number in 0..64 {
        let file = file.clone();
        load.add(async move {
            let mut buf = vec![0; len];
            loop {
                let (read, back) = file.read_at(buf, number * 4096).await;
                assert_eq!(read?, len);
                buf = back;
                answered();
            }
        });
    }
    Ok(load)
}

fn timers() -> Load {
    let mut load = Load(Vec::new());
    for number in 0..100 {
        load.repeat(move || async move {
            sleep(Duration::from_micros(500 + 10 * number)).await;
            Ok(())
        });
    }
    load
}

async fn connections() -> io::Result<Load> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut load = Load(Vec::new());
    load.add(async move {
        loop {
            drop(listener.accept().await?);
        }
    });
    load.repeat(move || async move {
        let stream = TcpStream::connect(address).await?;
        // Leaves no port behind that waits for a minute.
        stream.set_linger(Some(Duration::ZERO))
    });
    Ok(load)
}

/// Fails unless there are at most `most` allocations for each request.
///
/// A queue may still grow to a length that it never had, once; the pool may start another thread; and
/// of two workers the faster one may find that the other still holds the cell of an operation that has
/// ended (`reactor/src/cells.rs`). So it is not quite nothing.
async fn check(what: &str, load: Load, most: u32) {
    let enough = f64::from(most) + 0.05;
    let allocations = load.allocations(enough).await;
    println!("{what}: {allocations:.4} allocations for each request");
    assert!(allocations <= enough, "{what}: {allocations}");
}

async fn check_all(driver: DriverKind) -> io::Result<()> {
    println!("on {driver:?}");
    let dir = TempDir::new();
    // Without a ring an operation is a task on the pool, and the closure that it runs.
    let by_operation = if driver == DriverKind::Epoll { 2 } else { 0 };
    check("an echo", lockstep(borrowed_echo).await?, 0).await;
    check(
        "an echo that owns its buffer",
        lockstep(owned_echo).await?,
        0,
    )
    .await;
    check("an echo by the pool", lockstep(pooled_echo).await?, 0).await;
    check("an echo of datagrams", datagrams().await?, 0).await;
    check("a sleep", timers(), 0).await;
    check("a read from the page cache", reads(&dir, 4096).await?, 0).await;
    // Too long to be tried without the ring.
    check("a read", reads(&dir, 100_000).await?, by_operation).await;
    // Two for each end; the rest is the list of addresses.
    check("a connection, made and accepted", connections().await?, 5).await;
    Ok(())
}

#[test]
fn requests_allocate_nothing() {
    // Each wait of it has a limit of its own, and there are some hundred thousand requests.
    within(10 * PATIENCE, || {
        for driver in [DriverKind::Uring, DriverKind::Hybrid, DriverKind::Epoll] {
            let builder = gorin::Runtime::builder().workers(2).driver(driver);
            builder.run(check_all(driver)).unwrap().unwrap();
        }
    });
}
