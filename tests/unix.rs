//! Unix streams and listeners from the inside of a runtime.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::everywhere;
use futures::StreamExt;
use gorin::io::AsyncReadExt;
use gorin::net::{Shutdown, UnixDatagram, UnixListener, UnixSocket, UnixStream};
use gorin::prelude::*;
use gorin_base::check::poll_once;

/// A path in the directory for temporary files that nobody else has; its file is removed at the end.
struct TemporaryPath(PathBuf);

impl TemporaryPath {
    fn new() -> TemporaryPath {
        loop {
            let name = format!("gorin-unix-{}-{}", std::process::id(), number());
            let path = std::env::temp_dir().join(name);
            // A process of this number that was killed may have left one.
            if !path.exists() {
                return TemporaryPath(path);
            }
        }
    }
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        // It was not made if the test failed before.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn number() -> usize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn unique_name() -> SocketAddr {
    let name = format!("gorin-unix-{}-{}", std::process::id(), number());
    SocketAddr::from_abstract_name(name).unwrap()
}

#[test]
fn a_listener_at_a_path_serves_its_clients() {
    everywhere(|| async {
        let path = TemporaryPath::new();
        let listener = UnixListener::bind(&path.0)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(path.0.as_path()));
        let echo = go(async move {
            let mut incoming = listener.incoming();
            let mut echoed = 0;
            for _ in 0..10 {
                let stream = incoming.next().await.expect("the stream never ends")?;
                echoed += gorin::io::copy(&stream, &mut &stream).await?;
            }
            io::Result::Ok(echoed)
        });
        for number in 0..10_u8 {
            let client = UnixStream::connect(&path.0).await?;
            assert_eq!(client.peer_addr()?.as_pathname(), Some(path.0.as_path()));
            assert!(client.local_addr()?.is_unnamed());
            client.write_all(&[number; 100]).await?;
            client.shutdown(Shutdown::Write)?;
            let mut reply = Vec::new();
            (&client).read_to_end(&mut reply).await?;
            assert_eq!(reply, [number; 100]);
        }
        assert_eq!(echo.await.unwrap()?, 1000);
        Ok(())
    });
}

#[test]
fn errors_of_connecting_are_those_of_std() {
    everywhere(|| async {
        let path = TemporaryPath::new();
        let error = UnixStream::connect(&path.0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path.0)?);
        // The file is still there, nobody listens.
        let error = UnixStream::connect(&path.0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = UnixListener::bind(&path.0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        Ok(())
    });
}

/// `connect(2)` says `EAGAIN` when the queue is full, and no readiness tells of room in it.
#[test]
fn connecting_waits_while_the_listeners_queue_is_full() {
    everywhere(|| async {
        let address = unique_name();
        let socket = UnixSocket::new_stream()?;
        socket.bind_addr(&address)?;
        let listener = socket.listen(1)?;
        let clients = go(async move {
            let mut clients = Vec::new();
            for _ in 0..8 {
                clients.push(UnixStream::connect_addr(&address).await?);
            }
            io::Result::Ok(clients)
        });
        // The queue holds two.
        gorin::time::sleep(std::time::Duration::from_millis(5)).await;
        let mut served = Vec::new();
        for _ in 0..8 {
            served.push(listener.accept().await?);
        }
        assert_eq!(clients.await.unwrap()?.len(), 8);
        Ok(())
    });
}

#[test]
fn a_client_may_have_an_address_too() {
    everywhere(|| async {
        let (server, client) = (unique_name(), unique_name());
        let path = TemporaryPath::new();
        let socket = UnixSocket::new_stream()?;
        let unbound = UnixSocket::new_stream()?.listen(1).unwrap_err();
        assert_eq!(unbound.kind(), io::ErrorKind::InvalidInput);
        socket.bind_addr(&server)?;
        let listener = socket.listen(4)?;
        // Made elsewhere, and given back.
        let socket = UnixSocket::try_from(OwnedFd::from(UnixSocket::new_stream()?))?;
        socket.bind_addr(&client)?;
        let name = |address: &SocketAddr| address.as_abstract_name().map(<[u8]>::to_vec);
        assert_eq!(name(&socket.local_addr()?), name(&client));
        let stream = socket.connect_addr(&server).await?;
        let (accepted, peer) = listener.accept().await?;
        assert_eq!(name(&peer), name(&client));
        stream.write_all(b"hi").await?;
        assert_eq!(accepted.read(&mut [0; 8]).await?, 2);

        let socket = UnixSocket::new_stream()?;
        socket.bind(&path.0)?;
        let listener = socket.listen(4)?;
        let stream = UnixSocket::new_stream()?.connect(&path.0).await?;
        listener.accept().await?;
        assert_eq!(stream.peer_addr()?.as_pathname(), Some(&*path.0));
        drop(listener);
        let refused = UnixSocket::new_stream()?.connect(&path.0).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        Ok(())
    });
}

#[test]
fn a_pair_has_two_ends_of_this_process() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let credentials = right.peer_cred()?;
        assert_eq!(credentials.pid, std::process::id() as i32);
        assert_eq!(left.peer_cred()?, credentials);
        let message = vec![7; 1_000_000];
        let sent = message.clone();
        let (mut reader, writer) = right.into_split();
        let sender = go(async move { left.write_all(&sent).await });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await?;
        assert!(received == message);
        sender.await.unwrap()?;
        let whole = reader.reunite(writer).expect("halves of one stream");
        assert_eq!(whole.read(&mut [0; 1]).await?, 0);
        Ok(())
    });
}

/// For: the end of writing, as of a half that was dropped.
#[test]
fn a_stream_that_was_put_together_again_writes_on() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let (reader, writer) = right.into_split();
        let whole = reader.reunite(writer).expect("halves of one stream");
        whole.write_all(b"on").await?;
        left.read_exact(&mut [0; 2]).await?;
        let (_reader, writer) = whole.into_split();
        drop(writer);
        assert_eq!(left.read(&mut [0; 1]).await?, 0);
        Ok(())
    });
}

#[test]
fn close_ends_what_waits_on_unix_sockets() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        let mut byte = [0];
        let other = left.clone();
        let mut pending = pin!(other.read(&mut byte));
        assert!(poll_once(pending.as_mut()).is_pending());
        left.close();
        assert_eq!(
            pending.await.unwrap_err().kind(),
            io::ErrorKind::NotConnected
        );
        assert_eq!(right.read(&mut [0; 1]).await?, 0);
        let listener = UnixListener::bind_addr(&unique_name())?;
        let mut pending = pin!(listener.accept());
        assert!(poll_once(pending.as_mut()).is_pending());
        listener.close();
        assert!(pending.await.is_err());
        Ok(())
    });
}

/// Also where the kernel wakes nobody, since there still is no room.
#[test]
fn ending_the_writing_direction_ends_writes_that_wait_for_room() {
    everywhere(|| async {
        let (left, right) = UnixStream::pair()?;
        while left.try_write(&[0; 4096]).is_ok() {}
        let mut whole = pin!(left.write_all(b"whole"));
        let mut part = pin!(left.write(b"part"));
        let mut owned = pin!(left.send_owned("owned"));
        let mut room = pin!(left.writable());
        assert!(poll_once(whole.as_mut()).is_pending());
        assert!(poll_once(part.as_mut()).is_pending());
        assert!(poll_once(owned.as_mut()).is_pending());
        assert!(poll_once(room.as_mut()).is_pending());
        yield_now().await;
        left.shutdown(Shutdown::Write)?;
        let broken = io::ErrorKind::BrokenPipe;
        assert_eq!(whole.await.unwrap_err().kind(), broken);
        assert_eq!(part.await.unwrap_err().kind(), broken);
        assert_eq!(owned.await.0.unwrap_err().kind(), broken);
        assert_eq!(room.await.unwrap_err().kind(), broken);
        assert_eq!(left.writable().await.unwrap_err().kind(), broken);
        assert_eq!(left.write(b"later").await.unwrap_err().kind(), broken);
        right.write_all(b"answer").await?;
        left.read_exact(&mut [0; 6]).await?;

        let (left, _right) = UnixDatagram::pair()?;
        while left.try_send(&[0; 1000]).is_ok() {}
        let mut pending = pin!(left.send(b"pending"));
        assert!(poll_once(pending.as_mut()).is_pending());
        yield_now().await;
        left.shutdown(Shutdown::Write)?;
        assert_eq!(pending.await.unwrap_err().kind(), broken);
        Ok(())
    });
}

/// A half that is dropped, or a stream closed by its trait, does the same.
#[test]
fn dropping_the_half_that_writes_ends_writes_of_other_handles() {
    everywhere(|| async {
        let (left, _right) = UnixStream::pair()?;
        while left.try_write(&[0; 4096]).is_ok() {}
        let other = left.clone();
        let mut pending = pin!(other.write(b"pending"));
        assert!(poll_once(pending.as_mut()).is_pending());
        let (_reader, writer) = left.into_split();
        drop(writer);
        let error = pending.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn unix_streams_come_from_std_and_go_back_to_it() {
    everywhere(|| async {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
        let ours = UnixStream::from_std(ours)?;
        theirs.write_all(b"hi")?;
        let mut buf = [0; 8];
        assert_eq!(ours.peek(&mut buf).await?, 2);
        assert_eq!(ours.try_read(&mut buf)?, 2);
        let error = ours.try_read(&mut buf).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(ours.try_write(b"hello")?, 5);
        theirs.read_exact(&mut buf[..5])?;
        let mut back = ours.into_std()?;
        back.write_all(b"still open")?;
        theirs.read_exact(&mut [0; 10])?;
        drop(UnixStream::from_std(back)?);
        assert_eq!(theirs.read(&mut buf)?, 0);
        Ok(())
    });
}
