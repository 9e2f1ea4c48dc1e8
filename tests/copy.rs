//! Copying between streams: through memory, and inside the kernel.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use futures::io::{AsyncReadExt, AsyncWriteExt, BufWriter, Cursor};
use gorin::Runtime;
use gorin::io::{
    AsyncRead, AsyncWrite, copy, copy_bidirectional, pipe, splice, splice_bidirectional,
};
use gorin::net::{TcpListener, TcpStream, UnixStream};
use gorin::prelude::*;

/// Runs `program` on a runtime with one worker and on one with two.
fn everywhere<F: Future<Output = ()> + 'static>(program: fn() -> F) {
    for workers in [1, 2] {
        common::within_patience(move || {
            let run = Runtime::builder().workers(workers).run(program());
            run.expect("a runtime can be started");
        });
    }
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await;
    let (server, _) = listener.accept().await.unwrap();
    (client.unwrap(), server)
}

/// Bytes of which no two places look alike.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// A reader and writer that never has to wait, and does little at a time.
struct Crumbs(Cursor<Vec<u8>>, usize);

impl AsyncRead for Crumbs {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.1 += 1;
        let len = buf.len().min(1 + self.1 % 7);
        match self.1 % 5 {
            0 => Poll::Ready(Err(ErrorKind::Interrupted.into())),
            _ => Pin::new(&mut self.0).poll_read(cx, &mut buf[..len]),
        }
    }
}

/// Takes a byte or two, every third time says that it will later, and is interrupted now and then.
#[derive(Default)]
struct Fussy {
    calls: usize,
    taken: Vec<u8>,
    flushed: usize,
}

impl AsyncWrite for Fussy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.calls.is_multiple_of(5) {
            return Poll::Ready(Err(ErrorKind::Interrupted.into()));
        }
        let len = buf.len().min(1 + self.calls % 2);
        self.taken.extend_from_slice(&buf[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = self.taken.len();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_copy_keeps_each_byte_in_its_place_however_it_is_cut() {
    everywhere(|| async {
        let sent = bytes(1, 3000);
        let mut fussy = Fussy::default();
        let crumbs = Crumbs(Cursor::new(sent.clone()), 0);
        assert_eq!(copy(crumbs, &mut fussy).await.unwrap(), 3000);
        assert!(fussy.taken == sent);
        assert_eq!(fussy.flushed, 3000);
        // More than the buffer holds, and a writer that is slow all along.
        let sent = bytes(2, 200_000);
        let mut fussy = Fussy::default();
        copy(Cursor::new(&sent), &mut fussy).await.unwrap();
        assert!(fussy.taken == sent);
    });
}

#[test]
fn a_copy_that_never_waits_lets_others_run() {
    common::within_patience(|| {
        let program = async {
            let other = go(async {});
            let endless = copy(futures::io::repeat(1), &mut futures::io::sink()).await;
            drop((other, endless));
        };
        let limited = async {
            select! {
                _ = gorin::time::after(std::time::Duration::from_millis(5)) => {}
                _ = program => unreachable!("it has no end"),
            }
        };
        Runtime::builder().workers(1).run(limited).unwrap();
    });
}

#[test]
fn a_copy_flushes_before_it_waits() {
    everywhere(|| async {
        let (client, from) = UnixStream::pair().unwrap();
        let (to, server) = UnixStream::pair().unwrap();
        let copying = go(async move { copy(from, &mut BufWriter::new(to)).await });
        // The answer comes only when the question has arrived, so a copy that holds it back hangs.
        for _ in 0..10 {
            client.write_all(b"?").await.unwrap();
            let mut question = [0];
            server.read_exact(&mut question).await.unwrap();
        }
        drop(client);
        assert_eq!(copying.await.unwrap().unwrap(), 10);
    });
}

/// Not even if the writer needs time for what it has: whoever has ended may begin anew (a terminal does),
/// or not stand it.
#[test]
fn a_copy_does_not_read_on_after_the_end() {
    struct Ends(bool);
    impl AsyncRead for Ends {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            assert!(!std::mem::replace(&mut self.0, true), "it has ended");
            Poll::Ready(Ok(0))
        }
    }
    everywhere(|| async {
        let (to, server) = UnixStream::pair().unwrap();
        let mut held = 0;
        while let Ok(len) = to.try_write(&[0; 4096]) {
            held += len as u64;
        }
        let copying = go(async move {
            let mut to = BufWriter::new(to);
            to.write_all(b"the last").await.unwrap();
            // The connection is full, so this is pending when the end has come.
            copy(Ends(false), &mut to).await
        });
        yield_now().await;
        let received = copy(&server, &mut futures::io::sink()).await;
        assert_eq!(received.unwrap(), held + 8);
        assert_eq!(copying.await.unwrap().unwrap(), 0);
    });
}

#[test]
fn a_writer_that_takes_no_more_is_an_error() {
    everywhere(|| async {
        let mut room = [0; 4];
        let mut full = Cursor::new(&mut room[..]);
        let error = copy(Cursor::new([1; 5]), &mut full).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WriteZero);
        assert_eq!(room, [1; 4]);
    });
}

/// Asks through `proxy`, which joins the inner ends of two connections, and half-closes.
async fn through<F>(proxy: impl FnOnce(TcpStream, TcpStream) -> F)
where
    F: Future<Output = io::Result<(u64, u64)>> + Send + 'static,
{
    let (client, left) = tcp_pair().await;
    let (right, server) = tcp_pair().await;
    let proxied = go(proxy(left, right));
    let (there, back) = (bytes(3, 1_500_000), bytes(4, 700_000));
    let asking = go({
        let there = there.clone();
        async move {
            let (mut reader, mut writer) = client.into_split();
            let sending = go(async move {
                writer.write_all(&there).await.unwrap();
                writer.close().await.unwrap();
            });
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            sending.await.unwrap();
            got
        }
    });
    let mut question = Vec::new();
    (&server).read_to_end(&mut question).await.unwrap();
    assert!(question == there, "{} bytes", question.len());
    // The way there has ended; the way back goes on.
    server.write_all(&back).await.unwrap();
    drop(server);
    assert!(asking.await.unwrap() == back);
    assert_eq!(proxied.await.unwrap().unwrap(), (1_500_000, 700_000));
}

#[test]
fn a_proxy_through_memory_passes_both_directions_and_their_ends() {
    everywhere(|| {
        through(
            |mut left, mut right| async move { copy_bidirectional(&mut left, &mut right).await },
        )
    });
}

#[test]
fn a_proxy_inside_the_kernel_passes_both_directions_and_their_ends() {
    everywhere(|| through(|left, right| async move { splice_bidirectional(&left, &right).await }));
}

#[test]
fn splice_joins_sockets_and_pipes() {
    everywhere(|| async {
        let (client, from) = UnixStream::pair().unwrap();
        let (to, into) = pipe().unwrap();
        let (left, mut server) = tcp_pair().await;
        let first = go(async move { splice(&from, &into).await });
        let second = go(async move {
            let moved = splice(&to, &left).await;
            left.shutdown(Shutdown::Write).map(|()| moved)
        });
        let sent = bytes(5, 500_000);
        let sending = go({
            let sent = sent.clone();
            async move { client.write_all(&sent).await }
        });
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert!(got == sent);
        sending.await.unwrap().unwrap();
        assert_eq!(first.await.unwrap().unwrap(), 500_000);
        assert_eq!(second.await.unwrap().unwrap().unwrap(), 500_000);
    });
}

/// What comes in many small pieces fills the pipe's places before its bytes. For: what such a call has left
/// found only by a worker that has nothing else to do, or after hundreds of turns.
#[test]
fn splice_goes_on_after_a_call_that_has_filled_the_pipes_places() {
    common::within_patience(|| {
        let run = Runtime::builder().workers(1).run(async {
            let (from, to) = UnixStream::pair().unwrap();
            let (left, right) = UnixStream::pair().unwrap();
            drop(go(async move { splice(&to, &left).await }));
            let mut buf = [0; 200];
            // Often enough for its waits to ride on one poll.
            for _ in 0..50 {
                from.write_all(b"w").await.unwrap();
                right.read_exact(&mut buf[..1]).await.unwrap();
            }
            let turns = Arc::new(AtomicUsize::new(0));
            let counter = turns.clone();
            drop(go(async move {
                loop {
                    counter.fetch_add(1, Relaxed);
                    yield_now().await;
                }
            }));
            for piece in [[7; 5]; 40] {
                assert_eq!(from.try_write(&piece).unwrap(), piece.len());
            }
            right.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, [7; 200]);
            let turns = turns.load(Relaxed);
            assert!(turns < 4_000, "it was found after {turns} turns");
        });
        run.expect("a runtime can be started");
    });
}

/// The same where workers share their sockets, and nothing else finds what is left.
#[test]
fn splice_comes_to_the_end_of_what_has_come_in_many_pieces() {
    everywhere(|| async {
        let (from, to) = tcp_pair().await;
        let (other, _peer) = tcp_pair().await;
        let (left, right) = UnixStream::pair().unwrap();
        from.set_nodelay(true).unwrap();
        other.set_nodelay(true).unwrap();
        drop(go(async move { splice(&to, &left).await }));
        for round in 0..10 {
            for _ in 0..40 {
                from.write_all(&[round; 5]).await.unwrap();
                // Or the kernel would put the pieces together, which lie side by side in its memory.
                other.write_all(&[0; 3]).await.unwrap();
            }
            let mut buf = [0; 200];
            right.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, [round; 200]);
        }
    });
}

#[test]
fn splice_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    everywhere(|| async {
        let (client, from) = UnixStream::pair().unwrap();
        let (to, server) = UnixStream::pair().unwrap();
        drop(server);
        client.write_all(b"x").await.unwrap();
        let error = splice(&from, &to).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// A file of which a part is cached, of a length that is no multiple of anything.
#[test]
fn splice_sends_a_part_of_a_file_cached_or_not() {
    common::everywhere_with_directory(|directory| async move {
        let path = directory.path("file");
        let content = bytes(7, 700_001);
        std::fs::write(&path, &content)?;
        let synced = std::fs::File::open(&path)?;
        synced.sync_all()?;
        let file = gorin::fs::File::open(&path).await?;
        for (range, cold) in [(0..u64::MAX, false), (3..650_000, true), (9..9, false)] {
            if cold {
                // What is on the disk need not stay in memory.
                rustix::fs::fadvise(&synced, 0, None, rustix::fs::Advice::DontNeed)?;
            }
            let (to, mut server) = UnixStream::pair()?;
            let start = range.start as usize;
            let expected = content[start..]
                .len()
                .min((range.end - range.start) as usize);
            let reading = go(async move {
                let mut got = Vec::new();
                server.read_to_end(&mut got).await.map(|_| got)
            });
            let moved = splice(&file.range(range), &to).await?;
            drop(to);
            let got = reading.await.unwrap()?;
            assert_eq!(moved as usize, expected);
            assert!(got == content[start..start + expected]);
        }
        // Beyond its end, and where no file can have anything.
        for start in [1 << 40, u64::MAX] {
            let past = file.range(start..u64::MAX);
            assert_eq!(splice(&past, &UnixStream::pair()?.0).await?, 0);
        }
        Ok(())
    });
}
