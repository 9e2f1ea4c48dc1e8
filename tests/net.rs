//! The TCP sockets from the inside of a runtime: halves, handles, options, closing, names, and use
//! from threads and runtimes that they do not belong to.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use common::{everywhere, within_patience};
use futures::StreamExt;
use gorin::Runtime;
use gorin::io::{AsyncReadExt, AsyncWriteExt};
use gorin::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use gorin::prelude::*;
use gorin_base::check::poll_once;
use socket2::{Domain, SockRef, Socket, Type};

/// Two ends of one connection.
async fn connection() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, peer) = listener.accept().await?;
    assert_eq!(peer, client.local_addr()?);
    assert_eq!(server.local_addr()?, client.peer_addr()?);
    Ok((client, server))
}

#[test]
fn bytes_go_both_ways_and_half_close_ends_one_of_them() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        client.write_all(b"ping").await?;
        client.shutdown(Shutdown::Write)?;
        let mut request = String::new();
        (&server).read_to_string(&mut request).await?;
        assert_eq!(request, "ping");
        server.write_all(b"pong").await?;
        drop(server);
        let mut reply = String::new();
        (&client).read_to_string(&mut reply).await?;
        assert_eq!(reply, "pong");
        Ok(())
    });
}

#[test]
fn the_halves_of_a_stream_work_in_two_goroutines() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        let message = vec![7; 3_000_000];
        let echo = go(async move {
            let (reader, mut writer) = server.into_split();
            gorin::io::copy(reader, &mut writer).await
        });
        let (mut reader, writer) = client.into_split();
        let sent = message.clone();
        let sender = go(async move { writer.write_all(&sent).await });
        let mut reply = Vec::new();
        reader.read_to_end(&mut reply).await?;
        assert!(reply == message);
        sender.await.unwrap()?;
        assert_eq!(echo.await.unwrap()?, 3_000_000);
        Ok(())
    });
}

/// What a stream can do the halves can, by the methods of the same names.
#[test]
fn the_halves_of_a_stream_have_its_methods() {
    macro_rules! check_more {
        ($reader:ident, $writer:ident) => {{
            let pieces = [IoSlice::new(b"gh"), IoSlice::new(b"i")];
            $writer.writable().await?;
            assert_eq!($writer.write_vectored(&pieces).await?, 3);
            assert_eq!($writer.try_write_vectored(&pieces[..1])?, 2);
            assert_eq!($writer.send_owned("jk").await.0?, 2);
            $writer.write_all_zero_copy("l").await.0?;
            $reader.readable().await?;
            while $reader.peek(&mut [0; 8]).await? < 8 {}
            let (mut one, mut two) = ([0; 1], [0; 2]);
            let mut room = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!($reader.read_vectored(&mut room).await?, 3);
            assert_eq!($reader.try_read_vectored(&mut room)?, 3);
            assert_eq!((one, two), (*b"g", *b"hj"));
            $reader.read_exact(&mut two).await?;
            assert_eq!(&two, b"kl");
            $reader.set_read_deadline(Some(Instant::now()));
            let late = $reader.read(&mut two).await.unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            $reader.set_read_deadline(None);
            $writer.set_write_deadline(Some(Instant::now()));
            let late = $writer.write(b"!").await.unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            $writer.set_write_deadline(None);
        }};
    }
    macro_rules! check {
        ($left:expr, $right:expr) => {{
            let ((reader, back), (other, writer)) = ($left.into_split(), $right.into_split());
            assert_eq!(writer.write(b"a").await?, 1);
            writer.write_all(b"bc").await?;
            assert_eq!(writer.try_write(b"d")?, 1);
            let (written, buf) = writer.write_all_owned(b"ef".to_vec()).await;
            assert_eq!((written?, &buf[..]), ((), &b"ef"[..]));
            while reader.peek(&mut [0; 6]).await? < 6 {}
            let mut buf = [0; 3];
            assert_eq!((reader.read(&mut buf[..1]).await?, buf[0]), (1, b'a'));
            reader.read_exact(&mut buf).await?;
            assert_eq!(&buf, b"bcd");
            assert_eq!((reader.try_read(&mut buf[..1])?, buf[0]), (1, b'e'));
            let (read, buf) = reader.recv_owned(vec![0; 8]).await;
            assert_eq!(&buf[..read?], b"f");
            check_more!(reader, writer);
            drop(writer);
            assert_eq!(reader.read(&mut [0]).await?, 0, "the writing half is gone");
            back.write_all(b"!").await?;
            assert_eq!(
                other.read(&mut [0]).await?,
                1,
                "the other direction goes on"
            );
        }};
    }
    everywhere(|| async {
        let (left, right) = connection().await?;
        check!(left, right);
        let (left, right) = UnixStream::pair()?;
        check!(left, right);
        Ok(())
    });
}

#[test]
fn several_buffers_are_read_and_written_by_one_call() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        let parts = [
            IoSlice::new(b"five"),
            IoSlice::new(b" "),
            IoSlice::new(b"rings"),
        ];
        assert_eq!(client.write_vectored(&parts).await?, 10);
        let (mut left, mut right) = ([0; 6], [0; 6]);
        let mut parts = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
        assert_eq!(server.read_vectored(&mut parts).await?, 10);
        assert_eq!((&left, &right[..4]), (b"five r", &b"ings"[..]));
        Ok(())
    });
}

/// More buffers than one call takes (1,024): what the call has left is not waited for.
#[test]
fn a_read_into_too_many_buffers_for_one_call_leaves_the_rest_to_the_next() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        // Waited for, so that all that tells of the bytes has been told.
        let sender = go(async move { client.write_all(&[7; 1500]).await.map(|()| client) });
        server.readable().await?;
        let _client = sender.await.unwrap()?;
        let mut left = 1500;
        while left > 0 {
            let mut bytes = vec![0; 1200];
            let mut bufs: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
            left -= server.read_vectored(&mut bufs).await?;
        }
        Ok(())
    });
}

#[test]
fn a_peek_leaves_the_bytes_to_the_next_read() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        let sender = go(async move {
            yield_now().await;
            client.write_all(b"twice").await?;
            io::Result::Ok(client)
        });
        let mut buf = [0; 8];
        for _ in 0..2 {
            assert_eq!(server.peek(&mut buf).await?, 5);
        }
        assert_eq!(server.read(&mut buf).await?, 5);
        assert_eq!(&buf[..5], b"twice");
        drop(sender.await.unwrap()?);
        assert_eq!(server.read(&mut buf).await?, 0, "the end");
        Ok(())
    });
}

#[test]
fn a_stream_is_looked_at_without_waiting_and_by_hand() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        let mut buf = [0; 8];
        let nothing = server.try_peek(&mut buf).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let (reader, _writer) = server.clone().into_split();
        let waiting = go(async move {
            poll_fn(|cx| reader.as_ref().poll_readable(cx)).await?;
            reader.try_peek(&mut [0; 8])
        });
        yield_now().await;
        poll_fn(|cx| client.poll_writable(cx)).await?;
        let send = |fd: BorrowedFd<'_>| SockRef::from(&fd).send(b"five");
        assert_eq!(client.write_with(send).await?, 4);
        assert_eq!(waiting.await.unwrap()?, 4);
        assert_eq!(poll_fn(|cx| server.poll_peek(cx, &mut buf)).await?, 4);
        let read = |fd: BorrowedFd<'_>| (&Socket::from(fd.try_clone_to_owned()?)).read(&mut buf);
        assert_eq!(server.read_with(read).await?, 4);
        assert_eq!(&buf[..4], b"five");
        Ok(())
    });
}

/// G82: each call is written as one, also if the socket has no room for it at once.
#[test]
fn whole_messages_of_several_goroutines_do_not_mix() {
    const LEN: usize = 50_000;
    everywhere(|| async {
        let (client, server) = connection().await?;
        client.set_send_buffer_size(4096)?;
        let (pipe_reader, pipe_writer) = gorin::io::pipe()?;
        let pipe_writer = Arc::new(pipe_writer);
        for number in 0..8_u8 {
            let (client, pipe) = (client.clone(), pipe_writer.clone());
            go(async move {
                let message = vec![number; LEN];
                for round in 0..4 {
                    pipe.write_all(&message).await.unwrap();
                    match round % 2 {
                        0 => client.write_all(&message).await.unwrap(),
                        _ => client.write_all_owned(message.clone()).await.0.unwrap(),
                    }
                }
            });
        }
        drop((client, pipe_writer));
        let piped = go(async move {
            let mut message = vec![0; LEN];
            for _ in 0..32 {
                pipe_reader.read_exact(&mut message).await.unwrap();
                assert!(message.iter().all(|byte| *byte == message[0]));
            }
        });
        let mut message = vec![0; LEN];
        for _ in 0..32 {
            server.read_exact(&mut message).await?;
            assert!(message.iter().all(|byte| *byte == message[0]));
        }
        assert_eq!(server.read(&mut message).await?, 0, "the end");
        piped.await.unwrap();
        Ok(())
    });
}

/// Who waits for its turn behind a message that does not get on ends as that one does.
#[test]
fn a_message_that_does_not_get_on_ends_and_the_next_one_is_written() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let long = vec![1; 4_000_000];
        let mut first = Box::pin(left.write_all(&long));
        assert!(poll_once(first.as_mut()).is_pending(), "nobody reads");
        let mut second = pin!(left.write_all(b"second"));
        assert!(poll_once(second.as_mut()).is_pending(), "not its turn");
        // A deadline is felt by both.
        left.set_write_deadline(Some(Instant::now()));
        let late = first.await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let late = second.await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        left.set_write_deadline(None);
        // Given up, it lets the next one go on.
        let mut third = Box::pin(left.write_all(&long));
        assert!(poll_once(third.as_mut()).is_pending());
        let mut fourth = pin!(left.write_all(b"last"));
        assert!(poll_once(fourth.as_mut()).is_pending());
        drop(third);
        let reader = go(async move {
            let mut all = Vec::new();
            (&right).read_to_end(&mut all).await.map(|_| all)
        });
        fourth.await?;
        left.shutdown(Shutdown::Write)?;
        let all = reader.await.unwrap()?;
        assert!(all.ends_with(b"\x01last"));
        // Closed, it ends both.
        let (left, _right) = UnixStream::pair()?;
        let mut fifth = Box::pin(left.write_all(&long));
        assert!(poll_once(fifth.as_mut()).is_pending());
        let mut sixth = pin!(left.write_all(b"never"));
        assert!(poll_once(sixth.as_mut()).is_pending());
        left.close();
        assert!(fifth.await.is_err() && sixth.await.is_err());
        Ok(())
    });
}

#[test]
fn options_are_the_sockets_own() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        assert!(!client.nodelay()?);
        client.set_nodelay(true)?;
        assert!(client.clone().nodelay()? && !server.nodelay()?);
        client.set_ttl(42)?;
        assert_eq!(client.ttl()?, 42);
        client.set_quickack(false)?;
        assert!(!client.quickack()? && server.quickack()?);
        assert_eq!(client.linger()?, None);
        client.set_linger(Some(Duration::from_secs(3)))?;
        assert_eq!(client.linger()?, Some(Duration::from_secs(3)));
        Ok(())
    });
}

#[test]
fn close_ends_the_pending_calls_of_others_and_all_later_ones() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        let reader = client.clone();
        let mut byte = [0];
        let mut pending = pin!(reader.read(&mut byte));
        assert!(poll_once(pending.as_mut()).is_pending());
        client.close();
        assert!(pending.await.is_err());
        assert!(client.write(b"x").await.is_err());
        assert_eq!(server.read(&mut [0; 1]).await?, 0, "the peer sees the end");
        client.close();
        Ok(())
    });
}

/// For: a read that has looked whether the socket is closed, and then finds the end that closing makes.
#[test]
fn a_read_that_races_with_close_never_says_that_the_peer_has_ended() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        runtime.block_on(async {
            for round in 0..300 {
                let (client, _server) = connection().await.unwrap();
                let reader = client.clone();
                let (started, begun) = chan(1);
                let reading = go(async move {
                    started.send(()).await.unwrap();
                    loop {
                        let buf = &mut [0; 8];
                        let got = match round % 4 {
                            0 => reader.try_read(buf),
                            1 => reader.try_peek(buf),
                            2 => reader.try_recv_pooled(8).map(|buf| buf.len()),
                            _ => reader.try_read_vectored(&mut [IoSliceMut::new(buf)]),
                        };
                        match got {
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                            ended => return ended,
                        }
                    }
                });
                begun.recv().await.unwrap();
                client.close();
                let ended = reading.await.unwrap();
                assert!(ended.is_err(), "round {round}: {ended:?}");
            }
        });
    });
}

#[test]
fn closing_a_listener_ends_a_pending_accept() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut pending = pin!(listener.accept());
        assert!(poll_once(pending.as_mut()).is_pending());
        listener.close();
        assert!(pending.await.is_err());
        assert!(listener.accept().await.is_err());
        Ok(())
    });
}

#[test]
fn several_goroutines_may_accept_and_read_at_once() {
    everywhere(|| async {
        let listener = std::sync::Arc::new(TcpListener::bind("127.0.0.1:0").await?);
        let address = listener.local_addr()?;
        let acceptors: Vec<_> = (0..4)
            .map(|_| {
                let listener = listener.clone();
                go(async move { listener.accept().await.map(|(stream, _)| stream) })
            })
            .collect();
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(TcpStream::connect(address).await?);
        }
        for acceptor in acceptors {
            // Three goroutines wait for three bytes of one stream; each gets one.
            let stream = acceptor.await.unwrap()?;
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let stream = stream.clone();
                    go(async move {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).await.map(|()| byte[0])
                    })
                })
                .collect();
            let peer = stream.peer_addr()?;
            let is_peer = |client: &&TcpStream| client.local_addr().is_ok_and(|own| own == peer);
            let client = clients.iter().find(is_peer).unwrap();
            client.write_all(b"abc").await?;
            let mut bytes = Vec::new();
            for reader in readers {
                bytes.push(reader.await.unwrap()?);
            }
            bytes.sort_unstable();
            assert_eq!(bytes, b"abc");
        }
        Ok(())
    });
}

#[test]
fn the_incoming_stream_gives_every_connection() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let clients = go(async move {
            let mut clients = Vec::new();
            for _ in 0..10 {
                clients.push(TcpStream::connect(address).await?);
            }
            io::Result::Ok(clients)
        });
        let another = listener.clone();
        let accepted: Vec<_> = listener.incoming().take(5).collect().await;
        assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
        // A kept stream has its handle; the listener lives by the other one.
        let accepted: Vec<_> = listener.into_incoming().take(4).collect().await;
        assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
        another.accept().await?;
        assert_eq!(clients.await.unwrap()?.len(), 10);
        Ok(())
    });
}

#[test]
fn connecting_tries_one_address_after_the_other() {
    everywhere(|| async {
        // Bound, so that nobody else gets the port meanwhile, and not listening.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        silent.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let refuses = silent.local_addr()?.as_socket().expect("an IP address");
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addresses: [SocketAddr; 2] = [refuses, listener.local_addr()?];
        let stream = TcpStream::connect(&addresses[..]).await?;
        assert_eq!(stream.peer_addr()?, addresses[1]);
        let error = TcpStream::connect(refuses).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&refuses.to_string()), "{error}");
        Ok(())
    });
}

#[test]
fn connecting_has_a_time_limit() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stream = TcpStream::connect_timeout(address, Duration::from_secs(60)).await?;
        assert_eq!(stream.peer_addr()?, address);
        // A queue that is full drops the attempts of others: they are silent for a second.
        let silent = TcpSocket::new_v4()?;
        silent.bind("127.0.0.1:0".parse().unwrap())?;
        let silent = silent.listen(0)?;
        let address = silent.local_addr()?;
        let _fills_the_queue = TcpStream::connect(address).await?;
        let limit = Duration::from_millis(20);
        let mut error = None;
        for _ in 0..3 {
            error = TcpStream::connect_timeout(address, limit).await.err();
        }
        let error = error.expect("the queue has no room for three");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        Ok(())
    });
}

#[test]
fn a_socket_with_options_listens_and_connects() {
    everywhere(|| async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuse_address(true)?;
        socket.set_nodelay(true)?;
        socket.set_recv_buffer_size(8192)?;
        socket.set_keepalive(Duration::from_secs(30))?;
        socket.bind("127.0.0.1:0".parse().unwrap())?;
        let listener = socket.listen(16)?;
        // Made elsewhere.
        let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let client = TcpSocket::try_from(OwnedFd::from(client))?;
        client.bind("127.0.0.1:0".parse().unwrap())?;
        let own = client.local_addr()?;
        let client = client.connect(listener.local_addr()?).await?;
        let (server, peer) = listener.accept().await?;
        assert_eq!((peer, client.local_addr()?), (own, own));
        assert!(server.nodelay()? && !client.nodelay()?);
        assert_eq!(server.recv_buffer_size()?, 16_384);
        assert_eq!(server.keepalive()?, Some(Duration::from_secs(30)));
        server.set_keepalive(None)?;
        assert_eq!((server.keepalive()?, client.keepalive()?), (None, None));
        assert_eq!(
            listener.try_accept().unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        Ok(())
    });
}

#[test]
fn names_are_resolved() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let stream = TcpStream::connect(("localhost", port)).await?;
        assert_eq!(stream.peer_addr()?.port(), port);
        // Too long for a label: the resolver refuses it without asking a server, who may be slow.
        let name = "x".repeat(64);
        let error = TcpStream::connect((&*name, 80)).await.unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
        Ok(())
    });
}

#[test]
fn an_address_in_use_is_an_error_and_a_closed_listener_frees_it() {
    everywhere(|| async {
        // Somebody else may get it in between, not each time.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let error = TcpListener::bind(address).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            // With connections of it still open: the address can be had again at once.
            let _client = TcpStream::connect(address).await?;
            let _server = listener.accept().await?;
            drop(listener);
            if TcpListener::bind(address).await.is_ok() {
                return Ok(());
            }
        }
        panic!("a closed listener keeps its address");
    });
}

#[test]
fn streams_come_from_std_and_go_back_to_it() {
    everywhere(|| async {
        let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
        let address = listener.local_addr()?;
        let std_client = std::net::TcpStream::connect(address)?;
        let client = TcpStream::from_std(std_client)?;
        let (server, _) = listener.accept().await?;
        client.write_all(b"hi").await?;
        assert_eq!(server.read(&mut [0; 8]).await?, 2);
        // Back in std it is the same connection, and still open.
        let mut std_client = client.into_std()?;
        std_client.set_nonblocking(false)?;
        std_client.write_all(b"again")?;
        assert_eq!(server.read(&mut [0; 8]).await?, 5);
        server.write_all(b"!").await?;
        std_client.read_exact(&mut [0])?;
        Ok(())
    });
}

#[test]
fn a_write_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    everywhere(|| async {
        let (client, server) = connection().await?;
        server.set_linger(Some(Duration::ZERO))?;
        drop(server);
        let kind = loop {
            match client.write(b"anybody there?").await {
                Ok(_) => yield_now().await,
                Err(error) => break error.kind(),
            }
        };
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        assert!(matches!(kind, BrokenPipe | ConnectionReset), "{kind}");
        Ok(())
    });
}

#[test]
fn ending_what_the_peer_has_ended_is_no_error() {
    everywhere(|| async {
        let (mut client, server) = connection().await?;
        server.set_linger(Some(Duration::ZERO))?;
        drop(server); // a reset
        assert!(client.read(&mut [0]).await.is_err());
        let error = client.shutdown(Shutdown::Write).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        // `close` of the trait, which generic code calls when it is through.
        AsyncWriteExt::close(&mut client).await?;
        AsyncWriteExt::close(&mut &client).await?;
        client.close();
        AsyncWriteExt::close(&mut client).await
    });
}

#[test]
fn a_stream_works_on_the_workers_of_another_runtime_and_on_plain_threads() {
    within_patience(|| {
        let home = Runtime::builder().workers(1).build().unwrap();
        let abroad = Runtime::builder().workers(1).build().unwrap();
        let (client, server) = home.block_on(connection()).unwrap();
        let echo = abroad.go(async move {
            let mut buf = [0; 100];
            let len = server.read(&mut buf).await?;
            server.write_all(&buf[..len]).await
        });
        let plain = thread::spawn(move || {
            gorin_base::check::block_on(async {
                client.write_all(b"far from home").await?;
                let mut reply = [0; 13];
                client.read_exact(&mut reply).await?;
                io::Result::Ok(reply)
            })
        });
        assert_eq!(&plain.join().unwrap().unwrap(), b"far from home");
        abroad.block_on(echo).unwrap().unwrap();
    });
}

#[test]
fn an_empty_write_is_ready_at_once() {
    everywhere(|| async {
        let (client, _server) = connection().await?;
        assert!(matches!(
            poll_once(pin!(client.write(&[]))),
            Poll::Ready(Ok(0))
        ));
        client.write_all(&[]).await?;
        Ok(())
    });
}

/// Each connection has them in its goroutine. For: `async` blocks below them, which keep the buffers twice.
#[test]
fn reads_and_writes_take_little_of_a_goroutine() {
    everywhere(|| async {
        let (client, _server) = connection().await?;
        let mut buffer = [0; 1];
        assert!(size_of_val(&client.write_all(b"bytes")) <= 64);
        assert!(size_of_val(&client.write(b"bytes")) <= 48);
        assert!(size_of_val(&client.readable()) <= 48);
        assert!(size_of_val(&client.read(&mut buffer)) <= 48);
        Ok(())
    });
}
