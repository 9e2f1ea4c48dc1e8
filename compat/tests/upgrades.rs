//! Connections that go on after HTTP has ended: hyper gives them back, `Io` makes streams of them.

#![cfg(not(loom))]

#[path = "../../tests/common/mod.rs"]
mod common;
mod web;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use common::everywhere;
use futures::{SinkExt, StreamExt};
use gorin::hyper::{Executor, Io, Timer};
use gorin::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};
use gorin::prelude::*;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, client, server, upgrade};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio_util::codec::{Framed, LinesCodec};
use web::{Answer, pattern, tcp_pair};

/// A tunnel's beginning: the answer, and `upgraded` for what comes after it.
fn accept(request: Request<Incoming>, upgraded: Sender<Upgraded>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    if request.method() != Method::CONNECT {
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in [("connection", "upgrade"), ("upgrade", "words")] {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    go(async move { upgraded.send(upgrade::on(request).await.unwrap()).await });
    answer
}

/// Sends much through a tunnel whose ends are `ours` and `theirs`, both ways at once, beside a target that
/// sends it back.
async fn check_tunnel(ours: Upgraded, theirs: Upgraded) {
    let (mut near, far): (DuplexStream, DuplexStream) = duplex(1000);
    let tunnel = go(async move { copy_bidirectional(&mut Io::new(theirs), &mut near).await });
    let mirror = go(async move {
        let (from, mut to) = far.split();
        gorin::io::copy(from, &mut to).await?;
        to.close().await
    });
    let sent = pattern(1 << 20);
    let (mut reader, mut writer) = Io::new(ours).split();
    let sending = go({
        let sent = sent.clone();
        async move {
            writer.write_all(&sent).await?;
            writer.close().await
        }
    });
    let mut got = Vec::new();
    reader.read_to_end(&mut got).await.unwrap();
    assert!(got == sent);
    sending.await.unwrap().unwrap();
    mirror.await.unwrap().unwrap();
    assert_eq!(tunnel.await.unwrap().unwrap(), (1 << 20, 1 << 20));
}

#[test]
fn a_tunnel_of_http1_carries_bytes_both_ways() {
    everywhere(|| async {
        let (ours, theirs) = tcp_pair().await;
        let (tell, told) = chan(1);
        let service = service_fn(move |request| {
            let answer = accept(request, tell.clone());
            async { Answer::Ok(answer) }
        });
        go(server::conn::http1::Builder::new()
            .timer(Timer)
            .serve_connection(Io::new(theirs), service)
            .with_upgrades());
        let (mut client, connection) = client::conn::http1::handshake(Io::new(ours)).await.unwrap();
        go(connection.with_upgrades());
        let request = Request::builder()
            .header("connection", "upgrade")
            .header("upgrade", "words")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let ours = upgrade::on(answer).await.unwrap();
        check_tunnel(ours, told.recv().await.unwrap()).await;
        Ok(())
    });
}

#[test]
fn a_tunnel_of_http2_carries_bytes_both_ways_beside_requests() {
    everywhere(|| async {
        let (ours, theirs) = tcp_pair().await;
        let (tell, told) = chan(1);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = match *request.method() {
                Method::CONNECT => accept(request, tell.clone()),
                _ => Response::new(Full::from("beside it")),
            };
            async { Answer::Ok(answer) }
        });
        go(server::conn::http2::Builder::new(Executor)
            .timer(Timer)
            .serve_connection(Io::new(theirs), service));
        let builder = client::conn::http2::Builder::new(Executor);
        let (mut client, connection) = builder.handshake(Io::new(ours)).await.unwrap();
        go(connection);
        let request = Request::connect("target:1")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let ours = upgrade::on(answer).await.unwrap();
        let theirs = told.recv().await.unwrap();
        let beside = go(async move {
            let answer = client.send_request(Request::new(Empty::new())).await?;
            hyper::Result::Ok(answer.into_body().collect().await?.to_bytes())
        });
        check_tunnel(ours, theirs).await;
        assert_eq!(beside.await.unwrap().unwrap(), "beside it");
        Ok(())
    });
}

#[gorin::test]
async fn a_handler_of_axum_takes_the_connection_over() {
    let (stream, theirs) = tcp_pair().await;
    let words = get(|request: axum::extract::Request| async {
        go(async move {
            let mut words = Io::new(upgrade::on(request).await.unwrap());
            words.write_all(b"three").await
        });
        let headers = [("connection", "upgrade"), ("upgrade", "words")];
        (StatusCode::SWITCHING_PROTOCOLS, headers)
    });
    go(async move {
        let service = TowerToHyperService::new(Router::new().route("/", words));
        auto::Builder::new(Executor)
            .serve_connection_with_upgrades(Io::new(theirs), service)
            .await
    });
    let head = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: words\r\n\r\n";
    stream.write_all(head).await.unwrap();
    // The stream ends when the handler's goroutine has let go of it.
    let mut answer = Vec::new();
    (&stream).read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthree"), "{answer}");
}

/// Bug it is for: hyper may have read what comes after the head, and the stream below does not have it.
#[gorin::test]
async fn what_came_with_the_head_comes_first_also_by_tokios_traits() {
    let (stream, theirs) = tcp_pair().await;
    let (tell, told) = chan(1);
    let service = service_fn(move |request| {
        let answer = accept(request, tell.clone());
        async { Answer::Ok(answer) }
    });
    go(server::conn::http1::Builder::new()
        .serve_connection(Io::new(theirs), service)
        .with_upgrades());
    let head =
        b"GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: words\r\n\r\none\ntw";
    stream.write_all(head).await.unwrap();
    let mut lines = Framed::new(Io::new(told.recv().await.unwrap()), LinesCodec::new());
    assert_eq!(lines.next().await.unwrap().unwrap(), "one");
    stream.write_all(b"o\n").await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), "two");
    lines.send("three").await.unwrap();
    let mut answer = [0; 512];
    let mut len = 0;
    while !answer[..len].ends_with(b"\r\n\r\nthree\n") {
        match stream.read(&mut answer[len..]).await.unwrap() {
            0 => panic!("{:?}", String::from_utf8_lossy(&answer[..len])),
            more => len += more,
        }
    }
    SinkExt::<&str>::close(&mut lines).await.unwrap();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
}
