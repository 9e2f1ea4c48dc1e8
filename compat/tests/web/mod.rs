//! What the tests of HTTP share: a server that sends back what it gets, and connections to it.

// Each test file compiles its own copy and uses a part of it.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use gorin::hyper::{Io, Timer};
use gorin::io::{AsyncRead, AsyncWrite};
use gorin::net::{TcpListener, TcpStream};
use gorin::prelude::*;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

/// Sends back what it gets.
pub(crate) async fn mirror(
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}

/// Serves HTTP/1 on `stream` with `answer`, until it ends.
pub(crate) fn serve_http1<S, F>(
    stream: S,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
) -> JoinHandle<hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, hyper::Error>> + Send + 'static,
{
    go(hyper::server::conn::http1::Builder::new()
        .timer(Timer)
        .serve_connection(Io::new(stream), service_fn(answer)))
}

/// A client of HTTP/1 on `stream`.
pub(crate) async fn client<S>(stream: S) -> http1::SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = http1::handshake(Io::new(stream)).await.unwrap();
    go(connection);
    client
}

/// Sends `body`, and gives the body of the answer.
pub(crate) async fn ask(client: &mut http1::SendRequest<Full<Bytes>>, body: Bytes) -> Bytes {
    // The connection may not have seen yet that the answer before is over.
    client.ready().await.unwrap();
    let answer = client
        .send_request(Request::new(Full::new(body)))
        .await
        .unwrap();
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// Two ends of a TCP connection: who connected, and who accepted.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _peer) = listener.accept().await.unwrap();
    (client, server)
}

/// A server that gives each connection to `serve`, until the test ends.
pub(crate) async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    go(async move {
        while let Ok((stream, _peer)) = listener.accept().await {
            go(serve(stream));
        }
    });
    address
}

/// For services that do not fail.
pub(crate) type Answer = Result<Response<Full<Bytes>>, Infallible>;
