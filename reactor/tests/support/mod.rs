//! What the tests on the real ring share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Poll, RawWaker, RawWakerVTable, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use gorin_reactor::{
    Config, Direction, DriverKind, Feature, Features, Local, Reactor, Sleep, Socket,
};

/// No event of these tests takes that long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Tests that count what the process has run one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn reactor(workers: usize) -> Reactor {
    with_config(Config {
        workers,
        ..Config::default()
    })
}

pub(crate) fn with_config(config: Config) -> Reactor {
    Reactor::new(config).expect("io_uring is to be had")
}

/// True, after saying so, on a driver without rings: what a test says of them does not hold there.
pub(crate) fn has_no_ring(reactor: &Reactor) -> bool {
    let none = reactor.driver() == DriverKind::Epoll;
    if none {
        println!("skipped: the epoll driver has no ring, and cannot call back a call that blocks");
    }
    none
}

/// True, after saying so, where no socket waits for one worker: there is nothing to move then.
pub(crate) fn has_shared_sockets(reactor: &Reactor) -> bool {
    let shared = reactor.driver() != DriverKind::Uring;
    if shared {
        println!("skipped: workers of this driver share their sockets");
    }
    shared
}

/// True, after saying so, where each wait has a poll of its own, which looks at its socket first.
pub(crate) fn has_no_standing_polls() -> bool {
    let list = std::env::var("GORIN_WITHOUT").unwrap_or_default();
    let none = list.contains("multishot_poll");
    if none {
        println!("skipped: no poll goes on");
    }
    none
}

/// Every kind of ring and of waking that there is.
pub(crate) fn kinds() -> impl Iterator<Item = Config> {
    let kinds = kinds_of_rings().into_iter();
    kinds
        .flat_map(|features| [features, features.without(Feature::MsgRing)])
        .map(|features| Config {
            features,
            ..Config::default()
        })
}

/// Every kind of ring that there is: the kernel makes the best one that it is left.
pub(crate) fn kinds_of_rings() -> [Features; 3] {
    let cooperative = Features::ALL.without(Feature::DeferTaskrun);
    let plain = cooperative.without(Feature::CoopTaskrun);
    [Features::ALL, cooperative, plain]
}

pub(crate) fn shut_down(local: Local) {
    let drained = local.shutdown(Instant::now() + LIMIT);
    assert!(drained.is_clean(), "{drained:?}");
}

/// Runs `f` on a worker of a reactor of its own, which it then shuts down.
pub(crate) fn on_worker<R>(f: impl FnOnce(&mut Local) -> R) -> R {
    let mut local = reactor(1).attach(0).expect("a ring");
    let result = f(&mut local);
    shut_down(local);
    result
}

/// Worker `index` of `reactor` on a thread of its own, running until [`Idle::stop`].
pub(crate) struct Idle {
    stopped: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<()>,
    /// The kernel's number of the thread.
    pub(crate) tid: i32,
}

impl Idle {
    pub(crate) fn start(reactor: &Reactor, index: usize) -> Idle {
        let stopped = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let thread = {
            let (reactor, stopped) = (reactor.clone(), stopped.clone());
            thread::spawn(move || {
                let mut local = reactor.attach(index).expect("a ring");
                local.block_on(poll_fn(|cx| {
                    // SAFETY: takes nothing, gives a number.
                    let tid = unsafe { libc::gettid() };
                    // The receiver listens to the first only.
                    let _ = sender.send((tid, cx.waker().clone()));
                    if stopped.load(Ordering::Acquire) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                }));
                shut_down(local);
            })
        };
        let (tid, waker) = receiver.recv_timeout(LIMIT).expect("the worker starts");
        Idle {
            stopped,
            waker,
            thread,
            tid,
        }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn stop(self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
        self.thread.join().expect("the worker ends in peace");
    }
}

/// The number of the system call that thread `tid` is in, if it is in one.
pub(crate) fn system_call(tid: i32) -> Option<i64> {
    let text = fs::read_to_string(format!("/proc/self/task/{tid}/syscall")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Waits until thread `tid` sleeps in its ring or epoll set.
pub(crate) fn wait_until_asleep(tid: i32) {
    let sleeps = [libc::SYS_io_uring_enter, libc::SYS_epoll_pwait2, EPOLL_WAIT];
    wait_for("the worker to sleep", || {
        system_call(tid).is_some_and(|call| sleeps.contains(&call))
    });
}

/// What libc's `epoll_wait` is in the kernel.
#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: i64 = libc::SYS_epoll_wait;
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: i64 = libc::SYS_epoll_pwait;

/// Looks every 100 µs whether `condition` holds.
pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_micros(100));
    }
}

/// CPU time of the calling thread: holds on a busy machine, too.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills a timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// `read(2)`.
pub(crate) fn read_file(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: as many bytes as are announced, alive through the call.
    let n = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// A pipe in which each write is a packet, at which a read ends: its reading end, which belongs to this
/// thread's reactor, and its writing end.
pub(crate) fn pipe_of_packets() -> (Socket, fs::File) {
    let mut ends = [0; 2];
    let flags = libc::O_DIRECT | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: writes two descriptors to live memory.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) }, 0);
    // SAFETY: made above, and nobody else's.
    let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (Socket::new(reader).expect("a reactor"), writer.into())
}

/// True if the reading end of the pipe is closed. (Writing would tell as well, and end a poll of it.)
pub(crate) fn has_no_reader(writer: &fs::File) -> bool {
    let mut polled = libc::pollfd {
        fd: writer.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: one entry of this frame; it does not wait.
    unsafe { libc::poll(&raw mut polled, 1, 0) };
    polled.revents & libc::POLLERR != 0
}

pub(crate) fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// The threads that this one has started, which have its name, and those of the reactor and of io_uring. Others
/// are those of tests that wait for their turn, which come when they like.
pub(crate) fn threads() -> usize {
    let name = |task: std::path::PathBuf| fs::read_to_string(task.join("comm"));
    let ours = name("/proc/thread-self".into()).expect("procfs");
    let tasks = fs::read_dir("/proc/self/task").expect("procfs").flatten();
    // A thread that is gone by now has no name and does not count.
    let names = tasks.filter_map(|task| name(task.path()).ok());
    names
        .filter(|name| *name == ours || name.starts_with("gorin") || name.starts_with("iou-"))
        .count()
}

/// A connection on loopback: a socket of this thread's reactor, and its peer.
pub(crate) fn connection() -> (Socket, TcpStream) {
    let (ours, peer) = tcp_pair();
    ours.set_nonblocking(true).expect("a flag");
    (Socket::new(ours.into()).expect("a reactor"), peer)
}

pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let peer = TcpStream::connect(address).expect("a connection");
    let (ours, _) = listener.accept().expect("a connection");
    peer.set_nodelay(true).expect("a flag");
    ours.set_nodelay(true).expect("a flag");
    (ours, peer)
}

/// Reads from a descriptor that the socket owns, as often as it takes.
pub(crate) async fn read(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    socket.io(Direction::Read, |fd| receive(fd, buffer)).await
}

/// `recv(2)`.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut stream = std::mem::ManuallyDrop::new(borrow(fd));
    stream.read(buffer)
}

pub(crate) async fn write_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = socket
            .io(Direction::Write, |fd| {
                let mut stream = std::mem::ManuallyDrop::new(borrow(fd));
                stream.write(bytes)
            })
            .await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// A stream that must not be dropped.
fn borrow(fd: BorrowedFd<'_>) -> TcpStream {
    // SAFETY: the callers forget the stream, so the descriptor stays its owner's.
    unsafe { TcpStream::from_raw_fd(fd.as_raw_fd()) }
}

/// Serves what comes until the peer ends the stream.
pub(crate) async fn echo(socket: Socket) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let mut served = 0;
    loop {
        match read(&socket, &mut buffer).await? {
            0 => return Ok(served),
            n => {
                write_all(&socket, &buffer[..n]).await?;
                served += n;
            }
        }
    }
}

/// The output of `future`, which a test must not wait for in vain. On a worker.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    let limit = pin!(Sleep::until(Instant::now() + LIMIT));
    // The limit first: who is polled because of it might find what he was not woken for.
    match select(limit, pin!(future)).await {
        Either::Left(_) => panic!("it waits for ever"),
        Either::Right((output, _)) => output,
    }
}

/// Polls once on behalf of the future that runs.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Ready after the worker has been at its ring, `ticks` times.
pub(crate) async fn ticks(ticks: usize) {
    let mut left = ticks;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Ready when there is something to read.
pub(crate) fn peek(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = 0_u8;
    // SAFETY: one byte of a live variable.
    let n = unsafe { libc::recv(fd.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK) };
    if n < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Calls `end`, and waits here until the peer sees the end of the stream; fails if it does not. A
/// worker that calls this is kept from its loop meanwhile: what had to be done there came too late.
pub(crate) fn expect_fin(mut peer: TcpStream, end: impl FnOnce()) {
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    end();
    let read = read_peer(&mut peer, &mut [0; 1]);
    assert_eq!(read.expect("the end of the stream, in time"), 0);
}

/// Reads from `peer`, blocking. On a worker's thread the kernel may interrupt that for its own purposes,
/// and with a time limit the call does not go on by itself.
pub(crate) fn read_peer(peer: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match peer.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A waker that runs a closure when it is cloned first, which a call does when it lists itself, and says
/// when it is woken.
pub(crate) struct Meanwhile {
    run: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    woken: AtomicBool,
}

impl Meanwhile {
    const TABLE: RawWakerVTable =
        RawWakerVTable::new(Self::clone, Self::wake, Self::wake_by_ref, Self::drop);

    pub(crate) fn new(run: impl FnOnce() + Send + 'static) -> Arc<Meanwhile> {
        Arc::new(Meanwhile {
            run: Mutex::new(Some(Box::new(run))),
            woken: AtomicBool::new(false),
        })
    }

    pub(crate) fn has_run(&self) -> bool {
        self.run.lock().unwrap().is_none()
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        let raw = RawWaker::new(Arc::into_raw(self.clone()).cast(), &Self::TABLE);
        // SAFETY: the functions of the table do with a counted reference what their names say.
        unsafe { Waker::from_raw(raw) }
    }

    fn clone(data: *const ()) -> RawWaker {
        let data = data.cast::<Self>();
        // SAFETY: `data` is a reference that `waker` or this function has counted.
        unsafe { Arc::increment_strong_count(data) };
        // SAFETY: as above.
        if let Some(run) = unsafe { &*data }.run.lock().unwrap().take() {
            run();
        }
        RawWaker::new(data.cast(), &Self::TABLE)
    }

    fn wake(data: *const ()) {
        Self::wake_by_ref(data);
        Self::drop(data);
    }

    fn wake_by_ref(data: *const ()) {
        // SAFETY: as in `clone`.
        unsafe { &*data.cast::<Self>() }
            .woken
            .store(true, Ordering::SeqCst);
    }

    fn drop(data: *const ()) {
        // SAFETY: as in `clone`; the reference is given up.
        drop(unsafe { Arc::from_raw(data.cast::<Self>()) });
    }
}
