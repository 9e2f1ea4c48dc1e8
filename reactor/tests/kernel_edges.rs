//! Sockets that wait by edges of a shared epoll set, on the real set: what reads by no edge.
#![cfg(not(loom))]

mod support;

use std::io;
use std::os::fd::BorrowedFd;

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
        let (reader, mut writer) = pipe_of_packets();
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
