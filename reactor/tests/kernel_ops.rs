//! Operations on the real ring: results, owned buffers, and what is left when futures are dropped.
//!
//! The tests count descriptors of the whole process, so they run one at a time.
#![cfg(not(loom))]

mod support;

use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use gorin_base::{check, rng};
use gorin_reactor::{Config, Reactor, Socket, ops};
use socket2::SockRef;
use support::{
    Idle, LIMIT, alone, has_no_ring, on_worker, open_descriptors, reactor, shut_down, wait_for,
    wait_until_asleep, with_config,
};

/// A file that is removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(content: &[u8]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gorin-ops-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).expect("a temporary file");
        Self(path)
    }

    fn open(&self) -> Arc<OwnedFd> {
        let file = fs::File::options().read(true).write(true).open(&self.0);
        Arc::new(file.expect("the file exists").into())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the file exists");
    }
}

/// The two ends of a pipe: a read of it stays in flight until something is written.
fn pipe() -> (Arc<OwnedFd>, fs::File) {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    // SAFETY: the call has just made this descriptor.
    let reader = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let writer = unsafe { fs::File::from_raw_fd(ends[1]) };
    (Arc::new(reader), writer)
}

/// Waits until no more than `before` descriptors are open. Fewer may be: threads that work for the test
/// before this one let go of theirs in their own time.
fn wait_until_closed(before: usize) {
    wait_for("the descriptors to be closed", || {
        open_descriptors() <= before
    });
}

/// Polls `future` once: submits it.
async fn start<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[test]
fn what_was_written_is_read() {
    let _alone = alone();
    let temp = TempFile::new(b"");
    on_worker(|local| {
        local.block_on(async {
            let flags = libc::O_RDWR;
            let file = Arc::new(ops::open(&temp.0, flags, 0).await.expect("opens"));
            let mut expected = vec![0; 1 << 20];
            for round in 0..100 {
                let offset = rng::below(expected.len() - 70_000);
                let data = vec![round as u8 + 1; rng::below(70_000)];
                expected[offset..offset + data.len()].copy_from_slice(&data);
                let (written, data) = ops::write_at(&file, data, offset as u64).await;
                assert_eq!(written.expect("written"), data.len());
            }
            ops::fdatasync(&file).await.expect("synced");
            ops::fsync(&file).await.expect("synced");
            let len = fs::metadata(&temp.0).expect("exists").len() as usize;
            let (count, buffer) = ops::read_at(&file, vec![0; 2 << 20], 0).await;
            assert_eq!(count.expect("read"), len, "up to the end of the file");
            assert!(buffer[..len] == expected[..len], "the same bytes");
            assert_eq!(buffer.len(), 2 << 20);
            let (count, _) = ops::read_at(&file, vec![0; 10], len as u64).await;
            assert_eq!(count.expect("read"), 0, "at the end");
            let (count, _) = ops::read_at(&file, Vec::new(), 0).await;
            assert_eq!(count.expect("read"), 0, "nothing asked for");
        });
    });
}

#[test]
fn errors_are_the_kernels_and_the_buffer_comes_back() {
    let _alone = alone();
    let temp = TempFile::new(b"content");
    on_worker(|local| {
        local.block_on(async {
            let error = ops::open("/nonexistent/file", libc::O_RDONLY, 0).await;
            assert_eq!(error.expect_err("absent").kind(), io::ErrorKind::NotFound);
            let error = ops::open("zero\0byte", libc::O_RDONLY, 0).await;
            assert_eq!(error.expect_err("bad").kind(), io::ErrorKind::InvalidInput);
            let file = Arc::new(ops::open(&temp.0, libc::O_RDONLY, 0).await.expect("opens"));
            let (error, buffer) = ops::write_at(&file, vec![7; 5], 0).await;
            assert_eq!(
                error.expect_err("read only").raw_os_error(),
                Some(libc::EBADF)
            );
            assert_eq!(buffer, [7; 5]);
            for offset in [1 << 63, u64::MAX] {
                let (error, buffer) = ops::read_at(&file, vec![7; 5], offset).await;
                let kind = error.expect_err("negative for the kernel").kind();
                assert_eq!((kind, buffer), (io::ErrorKind::InvalidInput, vec![7; 5]));
                let (error, buffer) = ops::write_at(&file, vec![7; 5], offset).await;
                let kind = error.expect_err("negative for the kernel").kind();
                assert_eq!((kind, buffer), (io::ErrorKind::InvalidInput, vec![7; 5]));
            }
            let (count, _) = ops::read_at(&file, vec![7; 5], i64::MAX as u64 - 5).await;
            assert_eq!(count.expect("beyond the end"), 0);
        });
    });
}

#[test]
fn a_transfer_of_more_than_the_kernel_takes_is_shortened() {
    let _alone = alone();
    let temp = TempFile::new(b"0123456789");
    on_worker(|local| {
        local.block_on(async {
            let file = temp.open();
            // Address space only: pages that nobody touches are not there.
            let buffer = vec![0; (1 << 32) + 4096];
            let (count, buffer) = ops::read_at(&file, buffer, 2).await;
            assert_eq!(count.expect("read"), 8);
            assert_eq!(&buffer[..8], b"23456789");
            assert_eq!(buffer.len(), (1 << 32) + 4096);
        });
    });
}

#[test]
fn more_operations_than_the_ring_holds_all_complete() {
    let _alone = alone();
    on_worker(|local| {
        local.block_on(async {
            let mut nops: Vec<_> = (0..5_000).map(|_| Box::pin(ops::nop())).collect();
            poll_fn(|cx| {
                nops.retain_mut(|nop| match nop.as_mut().poll(cx) {
                    Poll::Ready(result) => {
                        result.expect("a nop succeeds");
                        false
                    }
                    Poll::Pending => true,
                });
                if nops.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        });
    });
}

#[test]
fn a_closed_descriptor_is_closed() {
    let _alone = alone();
    let temp = TempFile::new(b"");
    // SAFETY: F_GETFD takes no argument and changes nothing.
    let is_open = |fd: RawFd| unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1;
    let opened = || OwnedFd::from(fs::File::open(&temp.0).expect("exists"));
    let before = open_descriptors();
    on_worker(|local| {
        local.block_on(async {
            let fd = opened();
            let number = fd.as_raw_fd();
            ops::close(fd).await.expect("closes");
            assert!(!is_open(number));
            let never_polled = opened();
            let number = never_polled.as_raw_fd();
            drop(ops::close(never_polled));
            assert!(!is_open(number));
            for _ in 0..100 {
                let mut close = Box::pin(ops::close(opened()));
                assert!(start(close.as_mut()).await.is_pending());
                drop(close);
            }
        });
    });
    wait_until_closed(before);
}

#[test]
fn futures_dropped_at_any_point_leave_no_descriptor() {
    let _alone = alone();
    let temp = TempFile::new(&[5; 100_000]);
    let before = open_descriptors();
    on_worker(|local| {
        local.block_on(async {
            let file = temp.open();
            for _ in 0..3_000 {
                let mut open = Box::pin(ops::open(&temp.0, libc::O_RDONLY, 0));
                let mut read = Box::pin(ops::read_at(&file, vec![0; 100_000], 0));
                let submitted = rng::below(4);
                if submitted & 1 != 0 {
                    assert!(start(open.as_mut()).await.is_pending());
                }
                if submitted & 2 != 0 {
                    assert!(start(read.as_mut()).await.is_pending());
                }
                // Lets the kernel get nowhere, halfway, or to the end.
                for _ in 0..rng::below(3) {
                    ops::nop().await.expect("a nop succeeds");
                }
            }
            // All along, and not at the end of the worker.
            let begun = Instant::now();
            while Arc::strong_count(&file) >= 100 {
                assert!(begun.elapsed() < LIMIT, "they are in flight");
                ops::nop().await.expect("a nop succeeds");
            }
        });
    });
    wait_until_closed(before);
}

#[test]
fn the_kernel_does_not_write_to_the_buffer_of_a_dropped_read() {
    let _alone = alone();
    on_worker(|local| {
        local.block_on(async {
            for _ in 0..1_000 {
                let (reader, mut writer) = pipe();
                let mut read = Box::pin(ops::read_at(&reader, vec![0; 64], 0));
                assert!(start(read.as_mut()).await.is_pending());
                if rng::below(2) == 0 {
                    ops::nop().await.expect("a nop succeeds");
                }
                drop(read);
                // One of these gets the memory of the buffer, should it be free already.
                let poisoned: Vec<Vec<u8>> = (0..4).map(|_| vec![0xAA; 64]).collect();
                writer
                    .write_all(&[0x55; 64])
                    .expect("a pipe takes 64 bytes");
                ops::nop().await.expect("a nop succeeds");
                while Arc::strong_count(&reader) > 1 {
                    ops::nop().await.expect("a nop succeeds");
                }
                let intact = poisoned.iter().flatten().all(|&byte| byte == 0xAA);
                assert!(intact, "the kernel wrote to freed memory");
            }
        });
    });
}

#[test]
fn a_cancelled_read_of_a_pipe_takes_nothing() {
    let _alone = alone();
    on_worker(|local| {
        local.block_on(async {
            if has_no_ring(&Reactor::current().expect("a worker")) {
                return;
            }
            let (reader, mut writer) = pipe();
            let mut read = Box::pin(ops::read_at(&reader, vec![0; 64], 0));
            assert!(start(read.as_mut()).await.is_pending());
            drop(read);
            while Arc::strong_count(&reader) > 1 {
                ops::nop().await.expect("a nop succeeds");
            }
            writer.write_all(b"for the next one").expect("room");
            let (count, buffer) = ops::read_at(&reader, vec![0; 64], 0).await;
            assert_eq!(&buffer[..count.expect("read")], b"for the next one");
        });
    });
}

#[test]
fn a_ring_is_not_closed_while_the_kernel_writes() {
    let _alone = alone();
    const LEN: usize = 8 << 20;
    let temp = TempFile::new(&vec![0x55; 4 * LEN]);
    let before = open_descriptors();
    for round in 0..10 {
        let file = temp.open();
        let mut reads: Vec<_> = (0..4)
            .map(|part| Box::pin(ops::read_at(&file, vec![0; LEN], (part * LEN) as u64)))
            .collect();
        on_worker(|local| {
            local.block_on(async {
                for read in &mut reads {
                    assert!(start(read.as_mut()).await.is_pending());
                }
            });
            if round % 2 == 0 {
                reads.clear();
            }
        });
        // All have ended with the ring: what is left is ready, with its buffer.
        for read in &mut reads {
            let Poll::Ready((count, buffer)) = check::poll_once(read.as_mut()) else {
                panic!("in flight on a ring that is closed");
            };
            assert_eq!(buffer.len(), LEN);
            match count {
                Ok(count) => assert!(buffer[..count].iter().all(|&byte| byte == 0x55)),
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECANCELED)),
            }
        }
        drop(reads);
        // A thread that has done one lets go of it in its own time.
        wait_for("all operations to be gone", || {
            Arc::strong_count(&file) == 1
        });
    }
    wait_until_closed(before);
}

fn open_rings() -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("procfs");
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|to| to.as_os_str() == "anon_inode:[io_uring]")
        .count()
}

/// A deadline that has passed stands for a disk that does not answer.
#[test]
fn an_operation_of_a_ring_that_was_given_up_ends_with_an_error() {
    let _alone = alone();
    let (reader, mut writer) = pipe();
    let mut read = Box::pin(ops::read_at(&reader, vec![0; 64], 0));
    let reactor = reactor(1);
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async { assert!(start(read.as_mut()).await.is_pending()) });
    let rings = open_rings();
    let drained = local.shutdown(Instant::now());
    assert_eq!((drained.operations, drained.is_clean()), (1, false));
    assert_eq!(open_rings(), rings, "the kernel still uses it");
    let Poll::Ready((result, buffer)) = check::poll_once(read.as_mut()) else {
        panic!("nobody would wake it");
    };
    let error = result.expect_err("nobody knows what became of it");
    assert!(error.to_string().contains("has shut down"), "{error}");
    assert_eq!(
        buffer.len(),
        0,
        "the kernel may still write to the other one"
    );
    drop(read);
    assert_eq!(Arc::strong_count(&reader), 2, "leaked with the ring");
    writer.write_all(&[1; 64]).expect("room");
}

#[test]
fn a_future_dropped_on_another_worker_is_cancelled_where_it_runs() {
    let _alone = alone();
    let reactor = reactor(2);
    if has_no_ring(&reactor) {
        return;
    }
    let (reader, mut writer) = pipe();
    let (send, receive) = mpsc::channel();
    let owner = {
        let (reactor, reader) = (reactor.clone(), reader.clone());
        thread::spawn(move || {
            let mut local = reactor.attach(0).expect("a ring");
            let mut read = Box::pin(ops::read_at(&reader, vec![0; 64], 0));
            local.block_on(async { assert!(start(read.as_mut()).await.is_pending()) });
            send.send(read).expect("the test waits");
            // Until the read has ended, the descriptor lives here, in the test and in the read.
            local.block_on(poll_fn(|cx| {
                if Arc::strong_count(&reader) == 2 {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }));
            shut_down(local);
        })
    };
    let read = receive.recv().expect("the owner starts");
    let mut local = reactor.attach(1).expect("a ring");
    local.block_on(async { drop(read) });
    owner.join().expect("the cancellation arrives");
    shut_down(local);
    writer.write_all(b"nobody took it").expect("room");
}

#[test]
fn a_sleeping_owner_is_woken_by_a_cancellation() {
    let _alone = alone();
    let reactor = reactor(1);
    if has_no_ring(&reactor) {
        return;
    }
    let worker = Idle::start(&reactor, 0);
    wait_until_asleep(worker.tid);
    let sleeps = reactor.stats().sleeps;
    let (reader, _writer) = pipe();
    let entered = reactor.enter();
    let mut read = Box::pin(ops::read_at(&reader, vec![0; 64], 0));
    assert!(check::poll_once(read.as_mut()).is_pending());
    wait_for("the submission", || reactor.stats().sleeps > sleeps);
    wait_until_asleep(worker.tid);
    drop(read);
    wait_for("the end of the read", || Arc::strong_count(&reader) == 1);
    drop(entered);
    worker.stop();
}

#[test]
fn a_thread_that_has_entered_a_runtime_has_its_operations_done_by_a_worker() {
    let _alone = alone();
    let reactor = reactor(1);
    let worker = Idle::start(&reactor, 0);
    let temp = TempFile::new(b"from afar");
    let entered = reactor.enter();
    let content = check::block_on(async {
        let file = Arc::new(ops::open(&temp.0, libc::O_RDONLY, 0).await?);
        let (count, buffer) = ops::read_at(&file, vec![0; 64], 0).await;
        Ok::<_, io::Error>(buffer[..count?].to_vec())
    });
    assert_eq!(content.expect("read"), b"from afar");
    drop(entered);
    worker.stop();
}

#[test]
fn without_a_runtime_the_error_says_what_to_do() {
    let mut nop = pin!(ops::nop());
    let Poll::Ready(Err(error)) = nop.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("there is no runtime");
    };
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert!(error.to_string().contains("gorin::run"), "{error}");
}

fn tcp_socket(domain: libc::c_int) -> Socket {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: makes a descriptor of three numbers.
    let fd = unsafe { libc::socket(domain, kind, 0) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the call has just made this descriptor.
    Socket::new(unsafe { OwnedFd::from_raw_fd(fd) }).expect("on a worker")
}

#[test]
fn connecting_gives_the_sockets_own_error() {
    let _alone = alone();
    for (address, domain) in [("127.0.0.1:0", libc::AF_INET), ("[::1]:0", libc::AF_INET6)] {
        let Ok(listener) = std::net::TcpListener::bind(address) else {
            assert_eq!(domain, libc::AF_INET6, "only IPv6 may be missing");
            continue;
        };
        let address = listener.local_addr().expect("bound");
        on_worker(|local| {
            local.block_on(async {
                let socket = tcp_socket(domain);
                ops::connect(&socket, &address.into())
                    .await
                    .expect("connects");
                let (_peer, from) = listener.accept().expect("connected");
                assert_eq!(from.ip(), address.ip());
                ops::connect(&socket, &address.into())
                    .await
                    .expect("is connected");
                // A port that nobody else gets meanwhile, and at which nobody listens.
                let silent = tcp_socket(domain);
                let silent = SockRef::from(&silent);
                let any = SocketAddr::new(address.ip(), 0);
                silent.bind(&any.into()).expect("a port");
                let address = silent.local_addr().expect("bound");
                let address = address.as_socket().expect("an IP address");
                let refused = ops::connect(&tcp_socket(domain), &address.into()).await;
                assert_eq!(
                    refused.expect_err("nobody listens").kind(),
                    io::ErrorKind::ConnectionRefused
                );
            });
        });
    }
}

/// For: a cancellation that gets ahead of its operation, which waits for room in the queue, and finds nothing.
#[test]
fn a_cancellation_does_not_overtake_its_operation() {
    let _alone = alone();
    let reactor = with_config(Config {
        entries: 1,
        ..Config::default()
    });
    if has_no_ring(&reactor) {
        return;
    }
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(async {
        for waiting in 1..10 {
            let (reader, _writer) = pipe();
            let read = |_| Box::pin(ops::read_at(&reader, vec![0; 1], 0));
            let (mut first, mut reads): (_, Vec<_>) =
                (pin!(ops::nop()), (0..waiting).map(read).collect());
            assert!(start(first.as_mut()).await.is_pending());
            for read in &mut reads {
                assert!(start(read.as_mut()).await.is_pending());
            }
            first.await.expect("a nop succeeds");
            drop(reads);
            let begun = Instant::now();
            while Arc::strong_count(&reader) > 1 {
                assert!(begun.elapsed() < LIMIT, "they are in flight");
                ops::nop().await.expect("a nop succeeds");
            }
        }
    });
    shut_down(local);
}
