//! What the tests share.

// Each test file compiles its own copy and uses a part of it.
#![allow(dead_code, reason = "no test file uses all of it")]

use bytes::Bytes;
use gorin::net::{TcpListener, TcpStream};

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

/// Two ends of a TCP connection: who connected, and who accepted.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _peer) = listener.accept().await.unwrap();
    (client, server)
}
