//! HTTP/1 over gorin: connections that stay, bodies of all sizes, limits, panics, orderly ends.

#![cfg(not(loom))]

#[path = "../../tests/common/mod.rs"]
mod common;
mod web;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{PATIENCE, everywhere};
use gorin::hyper::{Io, Timer};
use gorin::io::duplex;
use gorin::prelude::*;
use gorin::time::{ticker, timeout};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::rt::{Sleep, Timer as _};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use web::{Answer, ask, client, mirror, pattern, serve_http1, tcp_pair};

#[test]
fn bodies_of_all_sizes_come_back_over_one_connection() {
    everywhere(|| async {
        for room in [7, 64 * 1024] {
            let (ours, theirs) = duplex(room);
            serve_http1(theirs, mirror);
            let mut client = client(ours).await;
            for len in [0, 1, 8 * 1024, 8 * 1024 + 1, 200_000] {
                let sent = pattern(len);
                let body = ask(&mut client, sent.clone()).await;
                assert!(body == sent, "{len} bytes through {room}");
            }
        }
        // More than the kernel and hyper hold.
        let (ours, theirs) = tcp_pair().await;
        serve_http1(theirs, mirror);
        let mut client = client(ours).await;
        let sent = pattern(16 << 20);
        assert!(ask(&mut client, sent.clone()).await == sent);
        assert_eq!(ask(&mut client, pattern(1)).await, pattern(1));
        Ok(())
    });
}

/// Reads an answer's head and a body of `len` bytes.
async fn read_answer(stream: &gorin::net::TcpStream, len: usize) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.unwrap();
    (
        String::from_utf8(head).unwrap(),
        String::from_utf8(body).unwrap(),
    )
}

#[gorin::test]
async fn pipelined_requests_are_answered_in_order_and_the_connection_stays() {
    let (stream, theirs) = tcp_pair().await;
    let served = go(http1::Builder::new()
        .pipeline_flush(true)
        .timer(Timer)
        .serve_connection(
            Io::new(theirs),
            service_fn(|request: Request<Incoming>| async move {
                // The later one would be ready first.
                if request.uri().path() == "/a" {
                    for _ in 0..100 {
                        yield_now().await;
                    }
                }
                Answer::Ok(Response::new(Full::from(request.uri().path().to_owned())))
            }),
        ));
    let requests = ["/a", "/b"].map(|path| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
    stream
        .write_all(requests.concat().as_bytes())
        .await
        .unwrap();
    for path in ["/a", "/b"] {
        let (head, body) = read_answer(&stream, 2).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, path);
    }
    stream
        .write_all(b"GET /c HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(read_answer(&stream, 2).await.1, "/c");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    served.await.unwrap().unwrap();
}

/// A body in pieces, which counts those that were asked for.
struct Pieces {
    left: usize,
    made: Arc<AtomicUsize>,
}

const PIECE_BYTES: usize = 16 * 1024;

/// More than that neither the kernel nor hyper may hold.
const HELD_BYTES: usize = 4 << 20;

impl Pieces {
    fn new(count: usize) -> (Pieces, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let pieces = Pieces {
            left: count,
            made: made.clone(),
        };
        (pieces, made)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.made.fetch_add(1, Ordering::Relaxed);
        let piece = Bytes::from_static(&[7; PIECE_BYTES]);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// Reads `body` to its end, each piece only when nobody makes more of them. Gives its length.
async fn read_slowly(mut body: Incoming, made: &AtomicUsize) -> usize {
    let mut read = 0;
    let mut before = 0;
    loop {
        let mut idle = 0;
        while idle < 20 {
            yield_now().await;
            let now = made.load(Ordering::Relaxed);
            idle = if now == before { idle + 1 } else { 0 };
            before = now;
        }
        let ahead = before * PIECE_BYTES - read;
        assert!(ahead <= HELD_BYTES, "{ahead} bytes that nobody wants");
        match body.frame().await {
            Some(frame) => read += frame.unwrap().into_data().unwrap().len(),
            None => return read,
        }
    }
}

#[gorin::test]
async fn an_answer_is_made_as_fast_as_it_is_read() {
    let count = 2 * HELD_BYTES / PIECE_BYTES;
    let (pieces, made) = Pieces::new(count);
    let pieces = std::sync::Mutex::new(Some(pieces));
    let (ours, theirs) = tcp_pair().await;
    theirs.set_send_buffer_size(64 * 1024).unwrap();
    ours.set_recv_buffer_size(64 * 1024).unwrap();
    go(http1::Builder::new().serve_connection(
        Io::new(theirs),
        service_fn(move |_: Request<Incoming>| {
            let pieces = pieces.lock().unwrap().take().unwrap();
            async { hyper::Result::Ok(Response::new(pieces)) }
        }),
    ));
    let mut client = client(ours).await;
    let request = Request::new(Full::<Bytes>::default());
    let answer = client.send_request(request).await.unwrap();
    let read = read_slowly(answer.into_body(), &made).await;
    assert_eq!(read, count * PIECE_BYTES);
}

#[gorin::test]
async fn a_request_is_sent_as_fast_as_it_is_read() {
    let count = 2 * HELD_BYTES / PIECE_BYTES;
    let (pieces, made) = Pieces::new(count);
    let (ours, theirs) = tcp_pair().await;
    ours.set_send_buffer_size(64 * 1024).unwrap();
    theirs.set_recv_buffer_size(64 * 1024).unwrap();
    serve_http1(theirs, move |request| {
        let made = made.clone();
        async move {
            let read = read_slowly(request.into_body(), &made).await;
            Ok(Response::new(Full::from(read.to_string())))
        }
    });
    let (mut client, connection) = hyper::client::conn::http1::handshake(Io::new(ours))
        .await
        .unwrap();
    go(connection);
    let request = Request::post("/").body(pieces).unwrap();
    let answer = client.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, (count * PIECE_BYTES).to_string());
}

#[test]
fn a_client_that_sends_its_head_byte_by_byte_is_cut_off() {
    everywhere(|| async {
        let (client, theirs) = tcp_pair().await;
        let begun = Instant::now();
        let limit = Duration::from_millis(60);
        let served = go(http1::Builder::new()
            .timer(Timer)
            .header_read_timeout(limit)
            .serve_connection(Io::new(theirs), service_fn(mirror)));
        let mut pace = ticker(Duration::from_millis(2));
        client.write_all(b"GET / HTTP/1.1\r\nx: ").await?;
        let mut buf = [0; 64];
        let end = timeout(PATIENCE, async {
            loop {
                select! {
                    read = client.read(&mut buf) => return read,
                    // It fails once the other end is gone.
                    _ = pace.tick() => { let _ = client.write_all(b"y").await; }
                }
            }
        });
        // A reset if a byte came too late to be read.
        assert!(!matches!(end.await, Ok(Ok(1..)) | Err(_)));
        assert!(begun.elapsed() >= limit);
        assert!(served.await.unwrap().unwrap_err().is_timeout());
        Ok(())
    });
}

#[gorin::test]
async fn a_connection_that_says_nothing_is_cut_off() {
    let (client, server) = duplex(64);
    let begun = Instant::now();
    let limit = Duration::from_millis(30);
    let served = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(limit)
        .serve_connection(Io::new(server), service_fn(mirror))
        .await;
    assert!(served.unwrap_err().is_timeout());
    assert!(begun.elapsed() >= limit);
    drop(client);
}

#[test]
fn limits_pass_in_the_time_of_a_model() {
    gorin::model(|| async {
        let (client, server) = duplex(64);
        let begun = Timer.now();
        let limit = Duration::from_secs(3600);
        let served = http1::Builder::new()
            .timer(Timer)
            .header_read_timeout(limit)
            .serve_connection(Io::new(server), service_fn(mirror))
            .await;
        assert!(served.unwrap_err().is_timeout());
        assert_eq!(Timer.now() - begun, limit);
        drop(client);
    });
}

#[gorin::test]
async fn a_handler_that_panics_ends_its_connection_only() {
    let answer = |request: Request<Incoming>| async move {
        assert!(request.uri().path() != "/bad", "as the test wants it");
        mirror(request).await
    };
    let (good, theirs) = tcp_pair().await;
    serve_http1(theirs, answer);
    let mut good = client(good).await;
    assert_eq!(ask(&mut good, pattern(10)).await, pattern(10));

    let (bad, theirs) = tcp_pair().await;
    let served = serve_http1(theirs, answer);
    let mut bad = client(bad).await;
    let request = Request::get("/bad").body(Full::default()).unwrap();
    assert!(bad.send_request(request).await.is_err());
    let error = served.await.unwrap_err();
    assert!(
        error.to_string().contains("as the test wants it"),
        "{error}"
    );

    assert_eq!(ask(&mut good, pattern(20)).await, pattern(20));
}

#[gorin::test]
async fn an_orderly_end_waits_for_the_request_that_runs() {
    let (begun, has_begun) = chan(1);
    let (go_on, may_go_on) = chan::<()>(0);
    let (ours, theirs) = duplex(1024);
    let server = go(async move {
        let slow = service_fn(|_: Request<Incoming>| async {
            begun.send(()).await.unwrap();
            may_go_on.recv().await;
            Answer::Ok(Response::new(Full::from("done")))
        });
        let mut connection = pin!(http1::Builder::new().serve_connection(Io::new(theirs), slow));
        select! {
            _ = &mut connection => panic!("it waits for us"),
            _ = has_begun.recv() => {}
        }
        connection.as_mut().graceful_shutdown();
        drop(go_on);
        connection.await
    });
    let mut client = client(ours).await;
    assert_eq!(ask(&mut client, Bytes::new()).await, "done");
    server.await.unwrap().unwrap();
    assert!(client.ready().await.is_err(), "it was the last request");
}

#[gorin::test]
async fn an_upgraded_connection_is_the_stream_again() {
    let (stream, theirs) = tcp_pair().await;
    let (tell, told) = chan(1);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let upgrade = hyper::upgrade::on(&mut request);
        let tell = tell.clone();
        go(async move { tell.send(upgrade.await.unwrap()).await });
        let mut answer = Response::new(Full::<Bytes>::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let words = [("connection", "upgrade"), ("upgrade", "words")];
        for (name, value) in words {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        async { hyper::Result::Ok(answer) }
    });
    go(http1::Builder::new()
        .serve_connection(Io::new(theirs), service)
        .with_upgrades());
    // The first word comes with the head.
    let head = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: words\r\n\r\none";
    stream.write_all(head).await.unwrap();
    let upgraded = told.recv().await.unwrap();
    let parts = upgraded.downcast::<Io<gorin::net::TcpStream>>().unwrap();
    assert_eq!(parts.read_buf, "one");
    let theirs = parts.io.into_inner();
    let (answer, _) = read_answer(&stream, 0).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(b"two").await.unwrap();
    let mut word = [0; 3];
    theirs.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"two");
}

#[gorin::test]
async fn head_and_body_go_out_in_one_call() {
    /// Counts the writes that get through.
    struct Counting(gorin::net::TcpStream, Arc<AtomicUsize>);
    impl futures::io::AsyncRead for Counting {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<std::io::Result<usize>> {
            Pin::new(&mut &self.0).poll_read(cx, buf)
        }
    }
    impl futures::io::AsyncWrite for Counting {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            panic!("there are always two: the head and the body");
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[std::io::IoSlice<'_>],
        ) -> Poll<std::io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut &self.0).poll_write_vectored(cx, bufs)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Pin::new(&mut &self.0).poll_flush(cx)
        }

        fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Pin::new(&mut &self.0).poll_close(cx)
        }
    }
    let (ours, theirs) = tcp_pair().await;
    let writes = Arc::new(AtomicUsize::new(0));
    serve_http1(Counting(theirs, writes.clone()), mirror);
    let mut client = client(ours).await;
    assert_eq!(ask(&mut client, pattern(5000)).await, pattern(5000));
    assert_eq!(writes.load(Ordering::Relaxed), 1);
}

#[gorin::test]
async fn a_timer_that_is_reset_keeps_the_new_time() {
    let begun = Timer.now();
    let mut later = Timer.sleep(Duration::from_secs(1000));
    let address = &raw const *later;
    Timer.reset(&mut later, begun + Duration::from_millis(20));
    assert!(std::ptr::addr_eq(&raw const *later, address), "in place");
    later.as_mut().await;
    assert!(begun.elapsed() >= Duration::from_millis(20));
    // Again, also after it was ready.
    let later_still = Timer.now() + Duration::from_millis(5);
    Timer.reset(&mut later, later_still);
    later.await;
    assert!(Instant::now() >= later_still);
    Timer.sleep_until(begun).await;

    // Also one that another timer made.
    struct Never;
    impl Future for Never {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    impl Sleep for Never {}
    let mut foreign: Pin<Box<dyn Sleep>> = Box::pin(Never);
    assert!(
        poll_fn(|cx| Poll::Ready(foreign.as_mut().poll(cx)))
            .await
            .is_pending()
    );
    Timer.reset(&mut foreign, begun);
    foreign.await;
}
