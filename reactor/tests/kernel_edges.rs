//! Sockets that wait by edges of a shared epoll set, on the real set: what reads by no edge.
#![cfg(not(loom))]

mod support;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use futures::future::join;
use gorin_reactor::{Config, Direction, DriverKind, Socket};
use socket2::SockRef;
use support::*;

/// Each driver whose sockets wait by edges, with a worker of one thread.
fn on_each_driver(f: impl Fn(&mut gorin_reactor::Local)) {
    for driver in [DriverKind::Epoll, DriverKind::Hybrid] {
        let config = Config {
            driver: Some(driver),
            ..Config::default()
        };
        let mut local = with_config(config).attach(0).expect("a worker");
        f(&mut local);
        shut_down(local);
    }
}

/// `read(2)`, for what is no socket.
fn read_file(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: as many bytes as are announced, alive through the call.
    let n = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Reads until `expected` has come, with more room than there is, and believes each time that a read
/// which came short has emptied the file.
async fn read_in_shorts(
    socket: &Socket,
    expected: &[u8],
    call: impl Fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<usize>,
) {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let mut buffer = [0; 64];
        let read = socket.io(Direction::Read, |fd| call(fd, &mut buffer)).await;
        let read = read.expect("something to read");
        socket.set_drained();
        got.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(got, expected);
}

/// A read of such a pipe ends with a packet, also if there are more. For: a short read that is taken
/// for the last one, though no edge will tell of the rest.
#[test]
fn a_pipe_of_packets_is_read_to_its_end() {
    on_each_driver(|local| {
        let mut ends = [0; 2];
        let flags = libc::O_DIRECT | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: writes two descriptors to live memory.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) }, 0);
        // SAFETY: made above, and nobody else's.
        let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let mut writer = std::fs::File::from(writer);
        let reader = Socket::new(reader).expect("a reactor");
        local.block_on(join(read_in_shorts(&reader, b"abc", read_file), async {
            for packet in [b"a", b"b", b"c"] {
                io::Write::write_all(&mut writer, packet).expect("room");
            }
        }));
    });
}

/// A read of a stream ends before urgent data. For: as above.
#[test]
fn a_stream_with_urgent_data_is_read_to_its_end() {
    on_each_driver(|local| {
        let (socket, peer) = connection();
        let peer = SockRef::from(&peer);
        local.block_on(join(read_in_shorts(&socket, b"abc", receive), async {
            peer.send(b"a").expect("a connection");
            peer.send_out_of_band(b"!").expect("a connection");
            peer.send(b"bc").expect("a connection");
        }));
    });
}
