//! Names of Unix sockets that std cannot express: a peer that chooses one is served like any other.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};

use common::{TempDir, everywhere_with_directory};
use gorin::net::{UnixDatagram, UnixListener};
use socket2::{Domain, SockAddr, Socket, Type};

/// A path in `directory` of as many bytes as there are in the kernel's structure, with no room for a
/// zero byte.
fn longest(directory: &TempDir) -> PathBuf {
    let room = 108 - directory.path("").as_os_str().len();
    directory.path(&"x".repeat(room))
}

/// Binds `socket` to a path of 108 bytes, which std refuses.
fn bind_to_longest(socket: BorrowedFd<'_>, path: &Path) {
    // SAFETY: an address is made of integers.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    let bytes = path.as_os_str().as_encoded_bytes();
    assert_eq!(bytes.len(), address.sun_path.len());
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (place, &byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = byte as libc::c_char;
    }
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: an address of `len` bytes, valid for reading during the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    assert_eq!(bound, 0, "{}", io::Error::last_os_error());
}

/// A blocking stream that is bound to the longest path in `directory` and connected to `server`.
fn connect_from_longest(directory: &TempDir, server: &Path) -> io::Result<std_unix::UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    bind_to_longest(socket.as_fd(), &longest(directory));
    socket.connect(&SockAddr::unix(server)?)?;
    Ok(OwnedFd::from(socket).into())
}

#[test]
fn a_client_with_the_longest_path_is_accepted() {
    everywhere_with_directory(|directory| async move {
        let path = directory.path("server");
        let listener = UnixListener::bind(&path)?;
        let mut client = connect_from_longest(&directory, &path)?;
        let (stream, peer) = listener.accept().await?;
        assert!(peer.is_unnamed(), "{peer:?}");
        assert!(stream.peer_addr()?.is_unnamed());
        client.write_all(b"hello")?;
        let mut buf = [0; 8];
        assert_eq!(stream.read(&mut buf).await?, 5);
        Ok(())
    });
}

#[test]
fn a_datagram_from_the_longest_path_is_received() {
    everywhere_with_directory(|directory| async move {
        let path = directory.path("server");
        let server = UnixDatagram::bind(&path)?;
        let client = std_unix::UnixDatagram::unbound()?;
        bind_to_longest(client.as_fd(), &longest(&directory));
        client.send_to(b"one", &path)?;
        let mut buf = [0; 8];
        let (len, peer) = server.recv_from(&mut buf).await?;
        assert_eq!(&buf[..len], b"one");
        assert!(peer.is_unnamed(), "{peer:?}");
        Ok(())
    });
}
