//! Clients that go away in the middle of a body leave nothing behind: no goroutine, no descriptor.
//!
//! Alone in its file: it counts what the process holds.

#![cfg(not(loom))]

#[path = "../../tests/common/mod.rs"]
mod common;
mod web;

use std::net::SocketAddr;

use common::{Held, within_patience};
use futures::StreamExt;
use gorin::Runtime;
use gorin::hyper::{Executor, Io, Timer};
use gorin::net::TcpStream;
use gorin::prelude::*;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::server::conn::auto;

const CLIENTS: usize = 20;

/// A body without end.
fn endless() -> StreamBody<impl futures::Stream<Item = hyper::Result<Frame<Bytes>>>> {
    let piece = || Ok(Frame::data(Bytes::from_static(&[7; 8192])));
    StreamBody::new(futures::stream::repeat_with(piece).boxed())
}

/// Reads all of the request, or sends an answer without end.
async fn serve(stream: TcpStream) {
    let answer = service_fn(|request: Request<Incoming>| async move {
        if request.method() == hyper::Method::POST {
            request.into_body().collect().await?;
        }
        hyper::Result::Ok(Response::new(endless()))
    });
    let mut builder = auto::Builder::new(Executor);
    builder.http1().timer(Timer);
    builder.http2().timer(Timer);
    // An error, or none, as the client went away.
    let _ = builder.serve_connection(Io::new(stream), answer).await;
}

/// Sends half of its body.
async fn half_a_request(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    stream.write_all(&[7; 50_000]).await.unwrap();
}

/// Reads the beginning of the answer.
async fn half_an_answer(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    stream.write_all(head).await.unwrap();
    stream.read_exact(&mut [0; 50_000]).await.unwrap();
}

/// As [`half_an_answer`], of each of several requests on one connection.
async fn half_answers(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(Executor);
    let (mut client, connection) = builder.handshake(Io::new(stream)).await.unwrap();
    let connection = go(connection).abort_on_drop();
    for _ in 0..3 {
        let request = Request::new(Full::<Bytes>::default());
        let answer = client.send_request(request).await.unwrap();
        answer.into_body().frame().await.unwrap().unwrap();
    }
    drop(connection);
}

#[test]
fn clients_that_go_away_in_the_middle_leave_nothing_behind() {
    within_patience(|| {
        let before = Held::now();
        let runtime = Runtime::builder().workers(2).build().unwrap();
        runtime.block_on(async {
            // The listener lives as long as its goroutine, which is the only one that stays.
            let address = web::listen(serve).await;
            half_a_request(address).await;
            settle().await;
            let warm = Held::now();
            for _ in 0..CLIENTS {
                half_a_request(address).await;
                half_an_answer(address).await;
                half_answers(address).await;
            }
            settle().await;
            warm.wait_until_back();
        });
        drop(runtime);
        before.wait_until_back();
    });
}

/// Waits until all connections are over.
async fn settle() {
    while gorin::num_goroutines() > 1 {
        yield_now().await;
    }
}
