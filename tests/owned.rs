//! Calls on streams that own their buffers.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, IoSliceMut};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use common::everywhere;
use gorin::io::{AsyncReadExt, PooledBuf};
use gorin::net::{Shutdown, TcpListener, TcpStream, UnixStream};
use gorin::prelude::*;
use gorin::time::timeout;
use gorin_base::check::poll_once;
use rustix::net::RecvFlags;

async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

/// For: a vector of which other runtimes fill the capacity. Nothing was read, which looks like the end.
#[test]
fn an_empty_vector_with_a_capacity_is_refused_and_comes_back() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        client.write_all(b"hello").await?;
        let (result, mut buf) = server.recv_owned(Vec::with_capacity(16)).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("vec![0; 16]"), "{error}");
        assert_eq!(buf.capacity(), 16);
        assert_eq!(server.recv_owned(Vec::new()).await.0?, 0);

        let file = gorin::fs::File::open("/proc/version").await?;
        let result;
        (result, buf) = file.read_at(buf, 0).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let result;
        (result, buf) = file.read_exact_at(buf, 0).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        file.read_exact_at(Vec::new(), 0).await.0?;

        buf.resize(16, 0);
        let (result, buf) = server.recv_owned(buf).await;
        assert_eq!(&buf[..result?], b"hello");
        Ok(())
    });
}

#[test]
fn an_echo_with_owned_buffers() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        let echo = go(async move {
            let mut buf = vec![0; 4096];
            loop {
                let (len, received) = server.recv_owned(buf).await;
                match len? {
                    0 => return io::Result::Ok(()),
                    len => {
                        let (sent, _) = server.write_all_owned(received[..len].to_vec()).await;
                        sent?;
                    }
                }
                buf = received;
            }
        });
        let message: Arc<[u8]> = (0..1_000_000_u32).map(|i| i as u8).collect();
        let writer = client.clone();
        let sent = message.clone();
        let sender = go(async move { writer.write_all_owned(sent).await.0 });
        let mut reply = vec![0; message.len()];
        client.read_exact(&mut reply).await?;
        assert!(reply[..] == message[..]);
        sender.await.unwrap()?;
        drop(client);
        echo.await.unwrap()
    });
}

#[test]
fn zero_copy_sends_all_on_every_kind_of_stream() {
    everywhere(|| async {
        let message: Arc<[u8]> = (0..500_000_u32).map(|i| (i / 3) as u8).collect();
        let (left, right) = tcp_pair().await?;
        let sent = message.clone();
        let sender = go(async move { left.write_all_zero_copy(sent).await.0 });
        let mut received = Vec::new();
        (&right).read_to_end(&mut received).await?;
        sender.await.unwrap()?;
        assert!(received[..] == message[..]);

        // A Unix socket cannot do that, and sends as usual.
        let (left, right) = UnixStream::pair()?;
        let sender = go(async move { left.write_all_zero_copy("unix".to_owned()).await });
        let mut received = String::new();
        (&right).read_to_string(&mut received).await?;
        let (result, buffer) = sender.await.unwrap();
        result?;
        assert_eq!((&*received, &*buffer), ("unix", "unix"));
        Ok(())
    });
}

#[test]
fn a_time_limit_on_an_owned_receive_loses_nothing() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        let sender = go(async move {
            for number in 0..2000_u32 {
                client.write_all(&number.to_le_bytes()).await?;
                if number % 7 == 0 {
                    gorin::time::sleep(Duration::from_micros(50)).await;
                }
            }
            io::Result::Ok(())
        });
        let mut received = Vec::new();
        let mut round = 0;
        loop {
            round += 1;
            let limit = Duration::from_micros(round % 80);
            let len = match round % 4 {
                0 => {
                    let mut buf = [0; 64];
                    let len = server.read(&mut buf).await?;
                    received.extend_from_slice(&buf[..len]);
                    len
                }
                1 => match timeout(limit, server.recv_pooled(64)).await {
                    Err(_elapsed) => continue,
                    Ok(buf) => {
                        let buf = buf?;
                        received.extend_from_slice(&buf);
                        buf.len()
                    }
                },
                _ => match timeout(limit, server.recv_owned(vec![0; 64])).await {
                    Err(_elapsed) => continue,
                    Ok((len, buf)) => {
                        let len = len?;
                        received.extend_from_slice(&buf[..len]);
                        len
                    }
                },
            };
            if len == 0 {
                break;
            }
        }
        sender.await.unwrap()?;
        let numbers: Vec<u32> = received
            .chunks(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert!(numbers == (0..2000).collect::<Vec<_>>());
        Ok(())
    });
}

/// Whatever kind of call comes next, it gets the bytes that a dropped receive has taken first.
#[test]
fn calls_of_every_kind_get_the_bytes_of_a_dropped_receive() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        {
            let mut receive = pin!(server.recv_owned(vec![0; 16]));
            assert!(poll_once(receive.as_mut()).is_pending());
            client.write_all(b"an early line").await?;
            gorin::time::sleep(Duration::from_millis(2)).await;
        }
        client.write_all(b" and a late one").await?;
        client.shutdown(Shutdown::Write)?;
        server.readable().await?;
        let mut buf = [0; 3];
        assert_eq!(server.peek(&mut buf).await?, 3);
        assert_eq!(&buf, b"an ");
        assert_eq!(
            (server.try_read(&mut buf[..2])?, &buf[..2]),
            (2, &b"an"[..])
        );
        let mut parts = [IoSliceMut::new(&mut []), IoSliceMut::new(&mut buf)];
        assert_eq!(server.read_vectored(&mut parts).await?, 3);
        assert_eq!(&buf, b" ea");
        assert_eq!(server.recv_pooled(2).await?[..], *b"rl");
        let (left, right) = UnixStream::pair()?;
        let moved = gorin::io::splice(&server, &left).await?;
        left.shutdown(Shutdown::Write)?;
        let mut rest = String::new();
        (&right).read_to_string(&mut rest).await?;
        assert_eq!(rest, "y line and a late one");
        assert_eq!(moved, rest.len() as u64);
        Ok(())
    });
}

/// It waits already when a receive begins, takes all there is, and is dropped.
#[test]
fn readable_sees_what_a_dropped_receive_takes_meanwhile() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        for round in 0..20_u8 {
            let mut readable = pin!(server.readable());
            assert!(poll_once(readable.as_mut()).is_pending());
            {
                let mut receive = pin!(server.recv_owned(vec![0; 16]));
                assert!(poll_once(receive.as_mut()).is_pending());
                client.write_all(&[round]).await?;
            }
            readable.await?;
            let mut buf = [0; 16];
            assert_eq!(server.try_read(&mut buf)?, 1);
            assert_eq!(buf[0], round);
        }
        Ok(())
    });
}

/// They do not take it, and wait for the socket, without trying again and again; who wants no bytes has them
/// at once.
#[test]
fn who_does_not_take_what_a_dropped_receive_has_left_does_not_spin() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        {
            let mut receive = pin!(server.recv_owned(vec![0; 16]));
            assert!(poll_once(receive.as_mut()).is_pending());
            client.write_all(b"early").await?;
            gorin::time::sleep(Duration::from_millis(2)).await;
        }
        // Whoever has no ring to receive by has taken nothing.
        let mut taken = [0; 16];
        let left =
            server.try_read_with(|fd| Ok(rustix::net::recv(fd, &mut taken, RecvFlags::PEEK)?.0));
        let calls = AtomicUsize::new(0);
        let mut call = pin!(server.read_with(|fd| {
            calls.fetch_add(1, Relaxed);
            Ok(rustix::net::recv(fd, &mut taken, RecvFlags::empty())?.0)
        }));
        if left.is_err() {
            assert!(poll_once(call.as_mut()).is_pending());
            for _ in 0..100 {
                yield_now().await;
            }
            assert!(
                timeout(Duration::from_millis(5), call.as_mut())
                    .await
                    .is_err()
            );
            assert!(calls.load(Relaxed) < 10, "{calls:?}");
        }
        assert_eq!(server.read(&mut []).await?, 0);
        assert_eq!(server.read_vectored(&mut []).await?, 0);
        assert_eq!(
            server
                .read_vectored(&mut [IoSliceMut::new(&mut [])])
                .await?,
            0
        );
        assert_eq!(server.recv_owned(Vec::new()).await.0?, 0);
        assert!(server.recv_pooled(0).await?.is_empty());
        client.write_all(b" and late").await?;
        if left.is_err() {
            assert_eq!(call.await?, 9);
        }
        let mut buf = [0; 5];
        server.read_exact(&mut buf).await?;
        assert_eq!(&buf, b"early");
        Ok(())
    });
}

/// Buffers that are kept, and go to another goroutine, hold what they held.
#[test]
fn pooled_buffers_are_the_callers_as_long_as_it_keeps_them() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        let (reader, _writer) = server.into_split();
        let (tx, rx) = gorin::chan::<PooledBuf>(64);
        let receiver = go(async move {
            loop {
                let buffer = reader.recv_pooled(8192).await?;
                let is_end = buffer.is_empty();
                tx.send(buffer).await.expect("somebody receives");
                if is_end {
                    return io::Result::Ok(());
                }
            }
        });
        let message: Arc<[u8]> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
        let sent = message.clone();
        let sender = go(async move { client.write_all_owned(sent).await.0 });
        let mut buffers = Vec::new();
        while let Some(buffer) = rx.recv().await {
            assert!(buffer.len() <= 8192);
            buffers.push(buffer);
        }
        receiver.await.unwrap()?;
        sender.await.unwrap()?;
        assert!(
            buffers
                .iter()
                .flat_map(|buffer| buffer.iter())
                .eq(message.iter())
        );
        // And they can be written as they are.
        let (left, right) = UnixStream::pair()?;
        let first = buffers.remove(0);
        let expected = first.to_vec();
        left.write_all_owned(first).await.0?;
        let mut got = vec![0; expected.len()];
        right.read_exact(&mut got).await?;
        assert!(got == expected);
        Ok(())
    });
}

#[test]
fn a_pooled_receive_ends_as_a_read_does() {
    everywhere(|| async {
        let (client, server) = tcp_pair().await?;
        let nothing = server.try_recv_pooled(10).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        server.set_read_deadline(Some(std::time::Instant::now()));
        let late = server.recv_pooled(10).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        server.set_read_deadline(None);
        client.write_all(b"six").await?;
        assert!(server.recv_pooled(0).await?.is_empty());
        let next = std::future::poll_fn(|cx| server.poll_recv_pooled(cx, usize::MAX)).await?;
        assert_eq!(next[..], *b"six");
        drop(client);
        assert!(server.recv_pooled(10).await?.is_empty());
        server.close();
        assert!(server.recv_pooled(10).await.is_err());
        Ok(())
    });
}

/// Closing ends the connection at once, in one way or another, which the operations see: the error is that
/// of all calls.
#[test]
fn closing_ends_owned_calls_with_the_error_of_all_others() {
    everywhere(|| async {
        for linger in [None, Some(Duration::ZERO)] {
            let (_client, server) = tcp_pair().await?;
            server.set_linger(linger)?;
            while server.try_write(&[0; 1 << 16]).is_ok() {}
            {
                let mut send = pin!(server.send_owned(vec![1; 1 << 16]));
                let mut receive = pin!(server.recv_owned(vec![0; 16]));
                assert!(poll_once(send.as_mut()).is_pending());
                assert!(poll_once(receive.as_mut()).is_pending());
                yield_now().await;
                server.close();
                // Until the ring has told of them.
                yield_now().await;
                let kinds = [send.await.0, receive.await.0].map(|end| end.unwrap_err().kind());
                assert_eq!(kinds, [io::ErrorKind::NotConnected; 2], "{linger:?}");
            }
        }
        Ok(())
    });
}

/// For: two messages in each other, where one finds no room for all of it.
#[test]
fn owned_messages_are_written_one_after_the_other() {
    everywhere(|| async {
        const LEN: usize = 3_000_000;
        let (ours, peer) = tcp_pair().await?;
        let ours = Arc::new(ours);
        let writers: Vec<_> = (1..=3)
            .map(|byte| {
                let ours = ours.clone();
                go(async move {
                    match byte {
                        1 => ours.write_all_zero_copy(vec![byte; LEN]).await.0,
                        2 => ours.write_all_owned(vec![byte; LEN]).await.0,
                        _ => ours.write_all(&vec![byte; LEN]).await,
                    }
                })
            })
            .collect();
        let mut received = vec![0; 3 * LEN];
        peer.read_exact(&mut received).await?;
        let turns = received.windows(2).filter(|pair| pair[0] != pair[1]);
        assert_eq!(turns.count(), 2);
        for writer in writers {
            writer.await.unwrap()?;
        }
        Ok(())
    });
}
