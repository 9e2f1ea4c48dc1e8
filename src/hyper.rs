//! hyper on gorin: connections on its sockets, time limits on its timers, tasks as goroutines. With the
//! feature `hyper`.
//!
//! hyper speaks HTTP and leaves the rest to traits of its own, `hyper::rt`. Here they are:
//!
//! | hyper asks for | it gets | where |
//! |---|---|---|
//! | a stream | [`Io`] around a [`TcpStream`](crate::net::TcpStream), or whatever else has the futures crate's traits | `serve_connection(Io::new(stream), …)`, `handshake(Io::new(stream))` |
//! | a timer | [`Timer`] | `timer(Timer)` of the builders |
//! | an executor | [`Executor`] | `Builder::new(Executor)` of HTTP/2, and of `hyper-util`'s servers |
//!
//! And it gives: the connection after an upgrade (WebSockets, a tunnel by `CONNECT`), of which [`Io`] makes a
//! stream again: `Io::new(hyper::upgrade::on(request).await?)`.
//!
#![cfg_attr(not(doctest), doc = include_str!("hyper.md"))]
//!
//! This takes `hyper` with the features `http1`, `server` and `client`, and `http-body-util`. The example
//! `compat/examples/http.rs` is a server with HTTP/2, limits for connections, heads, bodies and answers, an
//! access log and an orderly end.
//!
//! hyper's limits begin where HTTP does: a TLS handshake has those that you give it
//! ([`timeout`](crate::time::timeout())), and of HTTP/2, also with a `keep_alive_interval`, a client that does not
//! even send the preface is waited for as long as it takes. The socket below has no such gap: set its
//! [`set_read_deadline`](crate::net::TcpStream::set_read_deadline) before, and to `None` with the first request,
//! by a clone of the stream in the service.
//!
//! A handler that panics ends its connection (with HTTP/2 its request) and nothing else. A connection that
//! is dropped, as by [`timeout`](crate::time::timeout), closes its socket at once.
//!
//! Must not hold a task, a timer or a buffer of its own: these types only translate. (The sample above is
//! `hyper.md`, so that `compat/` can run it, with the features of hyper that it takes.)

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::io::{AsyncRead, AsyncWrite};
use gorin_base::clock;
use hyper::rt::{ReadBuf, ReadBufCursor};

use crate::io::copy;

/// A stream as hyper wants it: a socket of gorin, [`duplex`](crate::io::duplex()), TLS around one of
/// them, or whatever else has the futures crate's [`AsyncRead`] and [`AsyncWrite`].
///
/// And the other way: what hyper gives (`hyper::upgrade::Upgraded`) as a stream with those traits, and with
/// tokio's under the feature `tokio-io`, of either version of HTTP and whatever lies below it. What hyper has
/// read beyond its own messages comes first.
///
/// Head and body of a message go out in one call. Around a stream that cannot do that (futures-rustls)
/// tell hyper's builder `writev(false)`, or each becomes a record and a call of its own.
///
/// ```
/// use gorin::hyper::Io;
/// use gorin::io::{AsyncReadExt, AsyncWriteExt, duplex};
///
/// gorin::run(async {
///     let (server, mut client) = duplex(64);
///     let io = Io::new(server); // what `serve_connection` takes
///     drop(io.into_inner());
///     assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
/// });
/// ```
///
/// ```
/// use gorin::hyper::Io;
/// use gorin::io::copy_bidirectional;
/// use gorin::net::TcpStream;
/// use hyper::upgrade::Upgraded;
///
/// /// What a proxy does after `CONNECT`, with what `hyper::upgrade::on(request)` gives.
/// async fn tunnel(client: Upgraded, mut target: TcpStream) -> std::io::Result<()> {
///     copy_bidirectional(&mut Io::new(client), &mut target).await?;
///     Ok(())
/// }
/// ```
///
/// # Cancel safety
/// A call of hyper that is given up leaves the bytes in the stream, if the stream does so. gorin's do.
///
/// # Errors
/// Those of the stream.
#[derive(Debug)]
pub struct Io<S> {
    stream: S,
}

impl<S> Io<S> {
    /// Hands `stream` to hyper.
    pub fn new(stream: S) -> Self {
        Self { stream }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream, to be changed. What is read from it hyper does not see.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream back. After an upgrade, where `downcast` of hyper's `Upgraded` gives this value, what hyper
    /// has read beyond its own messages is not in the stream: `Parts::read_buf` has that. (`Io::new` around
    /// the `Upgraded` itself is simpler, and loses none of it.)
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // What hyper lends can be initialized in safe code, but not be said to be filled, so it is copied.
        // CPU time of a small request, and of a body of 1 MB, beside this: with a buffer of 8 KiB on the
        // stack, zeroed for each read, 1.06 and 2.9; by `unsafe` straight into hyper's buffer, zeroed for
        // each read, 1.08 and 0.97, or not zeroed, which a reader might look at, 0.99 and 0.92.
        let mut buffer = copy::buffer();
        let room = into.remaining().min(buffer.len());
        let len = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..room]))?;
        into.put_slice(&buffer[..len]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// A stream that has no such call writes the first buffer that is not empty, which is less but not
    /// wrong.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

impl<S: hyper::rt::Read + Unpin> AsyncRead for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(&mut self.stream).poll_read(cx, into.unfilled()))?;
        Poll::Ready(Ok(into.filled().len()))
    }
}

impl<S: hyper::rt::Write + Unpin> AsyncWrite for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Measures hyper's time limits with gorin's timers.
///
/// Give it to each builder of hyper that has a method `timer`: without one the limits that hyper has by
/// default are off, and one that is set panics with the first connection.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use gorin::hyper::Timer;
/// use hyper::rt::Timer as _;
///
/// gorin::run(async {
///     let start = Instant::now();
///     let mut sleep = Timer.sleep(Duration::from_secs(60));
///     // In place: no new box, and the timer moves in its wheel.
///     Timer.reset(&mut sleep, start + Duration::from_millis(2));
///     sleep.await;
///     assert!(start.elapsed() >= Duration::from_millis(2));
/// });
/// ```
///
/// # Cancel safety
/// Dropping a future that it makes removes the timer.
///
/// # Panics
/// A future that it makes panics when it has to wait on a thread that belongs to no runtime, or to one
/// that has stopped; the text says what to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(crate::time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(crate::time::sleep_until(deadline)))
    }

    /// By the clock of gorin's timers: in [`gorin::model`](crate::model()) that is the model's own.
    fn now(&self) -> Instant {
        clock::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(ours) => ours.get_mut().0.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// hyper's trait is not ours, and neither is the future: this joins them.
struct Sleep(crate::time::Sleep);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for Sleep {}

/// Runs hyper's tasks as goroutines of the runtime of the thread.
///
/// HTTP/1 needs none; HTTP/2 starts one for each request.
///
/// ```
/// use gorin::hyper::Executor;
/// use gorin::prelude::*;
/// use hyper::rt::Executor as _;
///
/// gorin::run(async {
///     let (tx, rx) = chan(0);
///     Executor.execute(async move { tx.send(1).await.unwrap() });
///     assert_eq!(rx.recv().await, Some(1));
/// });
/// ```
///
/// # Panics
/// As [`go`](crate::go), on a thread that belongs to no runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[track_caller]
    fn execute(&self, task: F) {
        crate::go(task);
    }
}
