//! UDP and Unix datagram sockets from the inside of a runtime.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::everywhere;
use gorin::net::{Shutdown, UdpSocket, UnixDatagram};
use gorin::prelude::*;
use gorin_base::check::poll_once;
use socket2::SockRef;

async fn udp() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await
}

/// A name in the abstract namespace that nobody else has.
fn unique_name() -> SocketAddr {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("gorin-datagrams-{}-{number}", std::process::id());
    SocketAddr::from_abstract_name(name).unwrap()
}

#[test]
fn datagrams_keep_their_boundaries_and_tell_where_they_are_from() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        let address = server.local_addr()?;
        client.send_to(b"one", address).await?;
        client.send_to(b"", address).await?;
        client.send_to(b"three", address).await?;
        let mut buf = [0; 4];
        let from = client.local_addr()?;
        assert_eq!(server.peek_from(&mut buf).await?, (3, from));
        assert_eq!(server.recv_from(&mut buf).await?, (3, from));
        assert_eq!(server.recv_from(&mut buf).await?, (0, from));
        // What does not fit is dropped.
        assert_eq!(server.recv_from(&mut buf).await?, (4, from));
        assert_eq!(&buf, b"thre");
        let error = server.try_recv_from(&mut buf).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn a_connected_udp_socket_talks_to_its_peer_only() {
    everywhere(|| async {
        let (server, client, stranger) = (udp().await?, udp().await?, udp().await?);
        client.connect(server.local_addr()?).await?;
        assert_eq!(client.peer_addr()?, server.local_addr()?);
        assert!(server.peer_addr().is_err());
        stranger
            .send_to(b"not for you", client.local_addr()?)
            .await?;
        client.send(b"ping").await?;
        let mut buf = [0; 16];
        let (len, peer) = server.recv_from(&mut buf).await?;
        let parts = [IoSlice::new(&buf[..len]), IoSlice::new(b"-pong")];
        server.connect(peer).await?;
        assert_eq!(server.send_vectored(&parts).await?, 9);
        let (mut left, mut right) = ([0; 4], [0; 16]);
        let mut parts = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
        assert_eq!(client.recv_vectored(&mut parts).await?, 9);
        assert_eq!((&left, &right[..5]), (b"ping", &b"-pong"[..]));
        Ok(())
    });
}

#[test]
fn a_dropped_receive_loses_no_datagram() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        let mut buf = [0; 16];
        {
            let mut pending = pin!(server.recv_from(&mut buf));
            assert!(poll_once(pending.as_mut()).is_pending());
            client.send_to(b"kept", server.local_addr()?).await?;
        }
        assert_eq!(server.recv_from(&mut buf).await?.0, 4);
        Ok(())
    });
}

#[test]
fn two_goroutines_receive_from_one_socket() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let server = server.clone();
                go(async move {
                    let mut byte = [0];
                    server.recv(&mut byte).await.map(|_| byte[0])
                })
            })
            .collect();
        for byte in [b"a", b"b"] {
            client.send_to(byte, server.local_addr()?).await?;
        }
        let mut bytes = Vec::new();
        for receiver in receivers {
            bytes.push(receiver.await.unwrap()?);
        }
        bytes.sort_unstable();
        assert_eq!(bytes, b"ab");
        Ok(())
    });
}

#[test]
fn options_of_udp_are_the_sockets_own() {
    everywhere(|| async {
        let socket = udp().await?;
        assert!(!socket.broadcast()?);
        socket.set_broadcast(true)?;
        assert!(socket.clone().broadcast()?);
        socket.set_ttl(42)?;
        assert_eq!(socket.ttl()?, 42);
        socket.set_multicast_loop_v4(false)?;
        assert!(!socket.multicast_loop_v4()?);
        socket.set_multicast_ttl_v4(3)?;
        assert_eq!(socket.multicast_ttl_v4()?, 3);
        socket.set_recv_buffer_size(8192)?;
        assert_eq!(socket.recv_buffer_size()?, 16_384);
        socket.set_send_buffer_size(8192)?;
        assert_eq!(socket.send_buffer_size()?, 16_384);
        assert!(socket.take_error()?.is_none());
        Ok(())
    });
}

#[test]
fn multicast_groups_are_joined_and_left() {
    everywhere(|| async {
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        receiver.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
        receiver.leave_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
        let error = receiver
            .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        Ok(())
    });
}

#[test]
fn udp_works_over_ipv6_where_there_is_any() {
    everywhere(|| async {
        let Ok(server) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await else {
            println!("skipped: no IPv6 here");
            return Ok(());
        };
        let client = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await?;
        client.send_to(b"six", server.local_addr()?).await?;
        let mut buf = [0; 16];
        assert_eq!(server.recv_from(&mut buf).await?, (3, client.local_addr()?));
        client.set_multicast_loop_v6(false)?;
        assert!(!client.multicast_loop_v6()?);
        Ok(())
    });
}

#[test]
fn a_refused_datagram_is_an_error_of_the_next_call() {
    everywhere(|| async {
        // Nobody else gets its port, and it takes datagrams of its own alone: the others are refused.
        let gone = udp().await?;
        let address = gone.local_addr()?;
        gone.connect(address).await?;
        let client = udp().await?;
        client.connect(address).await?;
        client.send(b"anybody there?").await?;
        let error = client.recv(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn closing_a_datagram_socket_ends_pending_calls() {
    everywhere(|| async {
        let socket = udp().await?;
        let receiver = socket.clone();
        let mut buf = [0; 16];
        let mut pending = pin!(receiver.recv(&mut buf));
        assert!(poll_once(pending.as_mut()).is_pending());
        socket.close();
        assert_eq!(
            pending.await.unwrap_err().kind(),
            io::ErrorKind::NotConnected
        );
        let (left, right) = UnixDatagram::pair()?;
        let mut byte = [0];
        let mut pending = pin!(left.recv(&mut byte));
        assert!(poll_once(pending.as_mut()).is_pending());
        left.close();
        assert!(pending.await.is_err());
        drop(right);
        Ok(())
    });
}

#[test]
fn unix_datagrams_go_between_named_and_unnamed_sockets() {
    everywhere(|| async {
        let (address, own) = (unique_name(), unique_name());
        let server = UnixDatagram::bind_addr(&address)?;
        let client = UnixDatagram::unbound()?;
        client.send_to_addr(b"from nobody", &address).await?;
        let mut buf = [0; 16];
        let (len, from) = server.recv_from(&mut buf).await?;
        assert_eq!(
            (&buf[..len], from.is_unnamed()),
            (&b"from nobody"[..], true)
        );

        let client = UnixDatagram::bind_addr(&own)?;
        client.connect_addr(&address)?;
        client.send(b"hi").await?;
        let (len, from) = server.recv_from(&mut buf).await?;
        assert_eq!((len, from.as_abstract_name()), (2, own.as_abstract_name()));
        assert_eq!(
            client.peer_addr()?.as_abstract_name(),
            address.as_abstract_name()
        );
        server.send_to_addr(b"hello", &from).await?;
        assert_eq!(client.recv(&mut buf).await?, 5);
        client.shutdown(Shutdown::Both)?;
        assert!(client.send(b"x").await.is_err());
        Ok(())
    });
}

/// There is no readiness that tells of room in the queue of somebody else's socket.
#[test]
fn a_send_to_a_full_unix_socket_waits_for_room() {
    everywhere(|| async {
        const MESSAGES: usize = 200;
        let address = unique_name();
        let server = UnixDatagram::bind_addr(&address)?;
        let sender = go(async move {
            let client = UnixDatagram::unbound()?;
            for number in 0..MESSAGES {
                client.send_to_addr(&number.to_le_bytes(), &address).await?;
            }
            io::Result::Ok(())
        });
        for expected in 0..MESSAGES {
            if expected % 50 == 0 {
                // Time for the queue to fill (it holds 10 or so).
                gorin::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let mut number = [0; size_of::<usize>()];
            server.recv(&mut number).await?;
            assert_eq!(usize::from_le_bytes(number), expected);
        }
        sender.await.unwrap()
    });
}

#[test]
fn datagram_sockets_come_from_std_and_go_back_to_it() {
    everywhere(|| async {
        let server = UdpSocket::from_std(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
        let client = udp().await?;
        client.send_to(b"1", server.local_addr()?).await?;
        let mut buf = [0; 16];
        assert_eq!(server.recv(&mut buf).await?, 1);
        let address = server.local_addr()?;
        let server = server.into_std()?;
        server.set_nonblocking(false)?;
        client.send_to(b"22", address).await?;
        assert_eq!(server.recv(&mut buf)?, 2);
        let server = UdpSocket::try_from(OwnedFd::from(server))?;
        client.send_to(b"333", address).await?;
        assert_eq!(server.recv(&mut buf).await?, 3);
        let fd = OwnedFd::try_from(server)?;
        assert_eq!(std::net::UdpSocket::from(fd).local_addr()?, address);
        Ok(())
    });
}

#[test]
fn calls_that_do_not_wait_exist_for_every_kind_of_call() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        let from = client.local_addr()?;
        let mut buf = [0; 8];
        client.connect(server.local_addr()?).await?;
        let error = server.try_peek_from(&mut buf).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let parts = [IoSlice::new(b"fi"), IoSlice::new(b"ve")];
        assert_eq!(client.try_send_vectored(&parts)?, 4);
        server.readable().await?;
        assert_eq!(server.try_peek_from(&mut buf)?, (4, from));
        assert_eq!(server.try_peek(&mut buf[..2])?, 2);
        let (mut left, mut right) = ([0; 1], [0; 7]);
        let mut parts = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
        assert_eq!(server.try_recv_vectored(&mut parts)?, 4);
        assert_eq!((&left, &right[..3]), (b"f", &b"ive"[..]));

        let (one, other) = (UnixDatagram::unbound()?, unique_name());
        let receiver = UnixDatagram::bind_addr(&other)?;
        assert_eq!(one.try_send_to_addr(b"ring", &other)?, 4);
        let (len, address) = receiver.try_peek_from(&mut buf)?;
        assert_eq!((len, address.is_unnamed()), (4, true));
        assert_eq!(receiver.try_recv(&mut buf)?, 4);
        Ok(())
    });
}

/// Also where it waits for time to pass, since nobody tells of room in a queue of somebody else's.
#[test]
fn closing_ends_a_send_to_a_full_socket() {
    everywhere(|| async {
        let name = unique_name();
        let full = UnixDatagram::bind_addr(&name)?;
        let sender = UnixDatagram::unbound()?;
        while sender.try_send_to_addr(&[0; 100], &name).is_ok() {}
        for close in [false, true] {
            let mut pending = pin!(sender.send_to_addr(b"pending", &name));
            assert!(poll_once(pending.as_mut()).is_pending());
            match close {
                false => sender.set_write_deadline(Some(Instant::now())),
                true => sender.close(),
            }
            assert!(poll_once(pending.as_mut()).is_ready(), "it sleeps on");
            sender.set_write_deadline(None);
        }
        drop(full);
        Ok(())
    });
}

/// A call takes 1,024 of them, and a part of a datagram is none.
#[test]
fn a_datagram_of_too_many_buffers_is_refused_whole() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        client.connect(server.local_addr()?).await?;
        let message = [7; 1025];
        let parts: Vec<_> = message.chunks(1).map(IoSlice::new).collect();
        let refused = client.send_vectored(&parts).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EMSGSIZE));
        assert!(client.try_send_vectored(&parts).is_err());
        assert_eq!(client.send_vectored(&parts[..1024]).await?, 1024);
        server.readable().await?;
        let mut room = [0; 1025];
        let mut parts: Vec<_> = room.chunks_mut(1).map(IoSliceMut::new).collect();
        assert!(server.try_recv_vectored(&mut parts).is_err());
        assert!(server.recv_vectored(&mut parts).await.is_err());
        assert_eq!(server.recv_vectored(&mut parts[..1024]).await?, 1024);
        assert_eq!(room[..1024], message[..1024]);
        Ok(())
    });
}

#[test]
fn futures_written_by_hand_are_woken() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        let (to, from) = (server.local_addr()?, client.local_addr()?);
        let receiver = server.clone();
        let receiving = go(async move {
            let mut buf = [0; 8];
            poll_fn(|cx| receiver.poll_readable(cx)).await?;
            let first = poll_fn(|cx| receiver.poll_recv_from(cx, &mut buf)).await?;
            let second = poll_fn(|cx| receiver.poll_recv(cx, &mut buf)).await?;
            io::Result::Ok((first, second))
        });
        yield_now().await;
        poll_fn(|cx| client.poll_writable(cx)).await?;
        assert_eq!(poll_fn(|cx| client.poll_send_to(cx, b"one", to)).await?, 3);
        client.connect(to).await?;
        assert_eq!(poll_fn(|cx| client.poll_send(cx, b"three")).await?, 5);
        assert_eq!(receiving.await.unwrap()?, ((3, from), 5));
        Ok(())
    });
}

/// What gorin has no method for: the sender of the next datagram alone, an address with each part.
#[test]
fn calls_of_users_wait_as_gorins_own_do() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        let (to, from) = (server.local_addr()?, client.local_addr()?);
        let mut waiting = pin!(server.read_with(|fd| SockRef::from(&fd).peek_sender()));
        assert!(poll_once(waiting.as_mut()).is_pending());
        let (to, parts) = (to.into(), [IoSlice::new(b"a"), IoSlice::new(b"b")]);
        let sent = client.write_with(|fd| SockRef::from(&fd).send_to_vectored(&parts, &to));
        assert_eq!(sent.await?, 2);
        assert_eq!(waiting.await?.as_socket(), Some(from));
        let mut buf = [0; 8];
        assert_eq!(server.try_recv(&mut buf)?, 2);
        let call = |fd: BorrowedFd<'_>| SockRef::from(&fd).peek_sender();
        let error = server.try_read_with(call).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let send = |fd: BorrowedFd<'_>| SockRef::from(&fd).send_to_vectored(&parts, &to);
        assert_eq!(client.try_write_with(send)?, 2);
        assert_eq!(poll_fn(|cx| client.poll_write_with(cx, send)).await?, 2);
        poll_fn(|cx| server.poll_read_with(cx, call)).await?;
        server.set_read_deadline(Some(Instant::now()));
        let error = server.read_with(call).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        server.close();
        let error = server.try_write_with(send).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        Ok(())
    });
}

#[test]
fn a_pooled_datagram_is_one_datagram() {
    everywhere(|| async {
        let (server, client) = (udp().await?, udp().await?);
        let from = client.local_addr()?;
        client.connect(server.local_addr()?).await?;
        let nothing = server.try_recv_from_pooled(8).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        for datagram in [&b"first"[..], b"", b"too long", b"fourth"] {
            client.send(datagram).await?;
        }
        let (first, address) = server.recv_from_pooled(usize::MAX).await?;
        assert_eq!((&first[..], address), (&b"first"[..], from));
        assert!(server.recv_pooled(8).await?.is_empty());
        assert_eq!(server.recv_pooled(3).await?[..], *b"too");
        assert_eq!(server.try_recv_pooled(8)?[..], *b"fourth");
        assert_eq!(first[..], *b"first", "it is still held");

        let (left, right) = UnixDatagram::pair()?;
        left.send(b"over there").await?;
        left.send(b"again").await?;
        let (datagram, address) = right.recv_from_pooled(100).await?;
        assert_eq!(datagram[..], *b"over there");
        assert!(address.is_unnamed());
        assert_eq!(right.try_recv_from_pooled(100)?.0[..], *b"again");
        Ok(())
    });
}
