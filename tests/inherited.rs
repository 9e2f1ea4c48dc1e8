//! Sockets of which somebody else has a descriptor, too: who lets go of his own does not end theirs.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::thread;

use common::{everywhere, within_patience};
use gorin::io::{PipeReader, PipeWriter};
use gorin::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use gorin::prelude::*;
use gorin_base::check::poll_once;

/// As that of a service manager, or of the process that takes over in a restart.
#[test]
fn a_listener_that_others_share_goes_on_without_ours() {
    everywhere(|| async {
        let theirs = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = theirs.local_addr()?;
        for close in [false, true] {
            {
                let ours = TcpListener::from_std(theirs.try_clone()?)?;
                let mut accept = pin!(ours.accept());
                assert!(poll_once(accept.as_mut()).is_pending());
                yield_now().await;
                if close {
                    ours.close();
                    assert!(accept.await.is_err());
                }
            }
            let client = TcpStream::connect(address).await?;
            theirs.set_nonblocking(false)?;
            assert_eq!(theirs.accept()?.1, client.local_addr()?);
        }
        Ok(())
    });
}

#[test]
fn a_connection_that_others_share_goes_on_without_ours() {
    everywhere(|| async {
        let (theirs, mut peer) = StdUnixStream::pair()?;
        {
            let ours = UnixStream::from_std(theirs.try_clone()?)?;
            assert!(poll_once(pin!(ours.readable())).is_pending());
            yield_now().await;
        }
        (&theirs).write_all(b"still here")?;
        peer.read_exact(&mut [0; 10])?;
        let ours = UnixStream::from_std(theirs)?;
        ours.close();
        assert_eq!(peer.read(&mut [0])?, 0, "that is the end for all");
        Ok(())
    });
}

/// As a program's standard streams, if its parent has made them of one connection.
#[test]
fn the_ends_of_a_pipe_may_be_one_connection() {
    everywhere(|| async {
        let (socket, mut peer) = StdUnixStream::pair()?;
        let reader = PipeReader::from_fd(socket.try_clone()?.into())?;
        let writer = PipeWriter::from_fd(OwnedFd::from(socket))?;
        assert!(poll_once(pin!(reader.readable())).is_pending());
        yield_now().await;
        drop(reader);
        writer.write_all(b"still here").await?;
        peer.read_exact(&mut [0; 10])?;
        Ok(())
    });
}

/// Nobody else has it: the peer sees the end.
#[test]
fn a_connection_that_was_std_s_ends_with_its_last_handle() {
    everywhere(|| async {
        let (ours, mut peer) = StdUnixStream::pair()?;
        let ours = UnixStream::from_std(ours)?;
        assert!(poll_once(pin!(ours.readable())).is_pending());
        yield_now().await;
        let end = thread::spawn(move || peer.read(&mut [0]).unwrap());
        drop(ours);
        let end = gorin::unblock(move || within_patience(move || end.join().unwrap()));
        assert_eq!(end.await?, 0);
        Ok(())
    });
}

/// Whether calls wait is said of the socket, not of the descriptor.
#[test]
fn a_duplicate_that_blocks_keeps_no_worker() {
    everywhere(|| async {
        let (ours, theirs) = UnixStream::pair()?;
        let duplicate = StdUnixStream::from(ours.as_fd().try_clone_to_owned()?);
        duplicate.set_nonblocking(false)?;
        let reader = ours.clone();
        let reading = go(async move { reader.recv_pooled(10).await });
        yield_now().await;
        theirs.write_all(b"here").await?;
        assert_eq!(reading.await.unwrap()?[..], *b"here");
        // More than fits.
        let writing = go(async move { ours.write_all(&[7; 1 << 20]).await });
        yield_now().await;
        theirs.read_exact(&mut vec![0; 1 << 20]).await?;
        writing.await.unwrap()?;

        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        std::net::UdpSocket::from(socket.as_fd().try_clone_to_owned()?).set_nonblocking(false)?;
        let receiver = socket.clone();
        let receiving = go(async move { receiver.recv_from(&mut [0; 10]).await });
        yield_now().await;
        socket.send_to(b"there", address).await?;
        assert_eq!(receiving.await.unwrap()?, (5, address));
        Ok(())
    });
}

/// What was given away goes on as well, also if our last call left a poll. For: an end of the connection
/// with our handle.
#[test]
fn a_connection_that_was_given_away_goes_on_without_ours() {
    everywhere(|| async {
        let (ours, peer) = UnixStream::pair()?;
        assert!(poll_once(pin!(ours.readable())).is_pending());
        yield_now().await;
        let mut theirs = ours.into_std()?;
        theirs.write_all(b"still here")?;
        peer.read_exact(&mut [0; 10]).await?;
        Ok(())
    });
}

/// For: a connection that a program which is started keeps open.
#[test]
fn no_child_inherits_a_connection() {
    everywhere(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let connecting = go(TcpStream::connect(listener.local_addr()?));
        let accepted = listener.accept().await?.0;
        let connected = connecting.await.unwrap()?;
        let again = TcpStream::connect(listener.local_addr()?).await?;
        // The client may know that it is connected a moment before its server does.
        let tried = loop {
            match listener.try_accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => yield_now().await,
                tried => break tried?.0,
            }
        };
        for stream in [&accepted, &connected, &again, &tried] {
            let flags = rustix::io::fcntl_getfd(stream)?;
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        assert!(rustix::io::fcntl_getfd(&listener)?.contains(rustix::io::FdFlags::CLOEXEC));
        Ok(())
    });
}
