//! HTTP/2 over gorin, alone and beside HTTP/1, and what is built on hyper: hyper-util, axum, h2.

#![cfg(not(loom))]

#[path = "../../tests/common/mod.rs"]
mod common;
mod web;

use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use common::{PATIENCE, everywhere};
use futures::future::join_all;
use gorin::hyper::{Executor, Io, Timer};
use gorin::net::TcpStream;
use gorin::prelude::*;
use gorin::time::{after, timeout};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use web::{Answer, ask, mirror, pattern, tcp_pair};

async fn client(stream: TcpStream) -> SendRequest<Full<Bytes>> {
    let (client, connection) = hyper::client::conn::http2::Builder::new(Executor)
        .timer(Timer)
        .handshake(Io::new(stream))
        .await
        .unwrap();
    go(connection);
    client
}

async fn body(answer: Response<Incoming>) -> Bytes {
    assert_eq!(answer.version(), Version::HTTP_2);
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn many_requests_share_a_connection() {
    everywhere(|| async {
        let (ours, theirs) = tcp_pair().await;
        go(http2::Builder::new(Executor)
            .timer(Timer)
            .serve_connection(Io::new(theirs), service_fn(mirror)));
        let client = client(ours).await;
        // Small ones beside some that are larger than all windows and buffers.
        let all = (0..50).map(|n| {
            let mut client = client.clone();
            let sent = pattern(if n % 10 == 0 { 1 << 20 } else { n });
            async move {
                let request = Request::new(Full::new(sent.clone()));
                let answer = client.send_request(request).await.unwrap();
                assert!(body(answer).await == sent, "{n}");
            }
        });
        join_all(all).await;
        Ok(())
    });
}

#[gorin::test]
async fn requests_of_http2_are_goroutines() {
    let (tell, told) = chan(1);
    let (ours, theirs) = tcp_pair().await;
    let service = service_fn(move |_: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            tell.send(gorin::num_goroutines()).await.unwrap();
            Answer::Ok(Response::new(Full::<Bytes>::default()))
        }
    });
    go(http2::Builder::new(Executor).serve_connection(Io::new(theirs), service));
    let mut client = client(ours).await;
    let answer = client.send_request(Request::new(Full::default())).await;
    assert!(body(answer.unwrap()).await.is_empty());
    // The connections of both sides, and at least the request.
    assert!(told.recv().await.unwrap() >= 3);
}

#[gorin::test]
async fn a_handler_that_panics_ends_its_request_only() {
    let (ours, theirs) = tcp_pair().await;
    let service = service_fn(|request: Request<Incoming>| async move {
        assert!(request.uri().path() != "/bad", "as the test wants it");
        mirror(request).await
    });
    go(http2::Builder::new(Executor).serve_connection(Io::new(theirs), service));
    let mut client = client(ours).await;
    let bad = Request::get("/bad").body(Full::default()).unwrap();
    assert!(client.send_request(bad).await.is_err());
    let request = Request::new(Full::new(pattern(10)));
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(body(answer).await, pattern(10));
}

/// hyper's own limits begin with the preface; those of the socket hold before.
#[gorin::test]
async fn a_client_that_sends_no_preface_is_cut_off_by_a_deadline_that_a_request_lifts() {
    let serve = |theirs: TcpStream, limit| {
        theirs.set_read_deadline(Some(Instant::now() + limit));
        let reader = theirs.clone();
        let service = service_fn(move |request| {
            reader.set_read_deadline(None);
            mirror(request)
        });
        http2::Builder::new(Executor)
            .timer(Timer)
            .serve_connection(Io::new(theirs), service)
    };
    let (silent, theirs) = tcp_pair().await;
    let cut_off = timeout(PATIENCE, serve(theirs, Duration::from_millis(5))).await;
    assert!(cut_off.expect("it has a limit").is_err());
    drop(silent);

    // Until one is long enough for a first request, however busy the machine is.
    for seconds in [1, 5, 25] {
        let limit = Duration::from_secs(seconds);
        let (ours, theirs) = tcp_pair().await;
        go(serve(theirs, limit));
        let is_over = after(limit + Duration::from_millis(10));
        let mut client = client(ours).await;
        let request = || Request::new(Full::new(pattern(10)));
        let Ok(answer) = client.send_request(request()).await else {
            continue;
        };
        assert_eq!(body(answer).await, pattern(10));
        is_over.await;
        let answer = client.send_request(request()).await.unwrap();
        assert_eq!(body(answer).await, pattern(10));
        return;
    }
    panic!("each was cut off before its first request");
}

#[gorin::test]
async fn an_orderly_end_waits_for_the_requests_that_run() {
    let (begun, has_begun) = chan(2);
    let (go_on, may_go_on) = chan::<()>(0);
    let (ours, theirs) = tcp_pair().await;
    let server = go(async move {
        let slow = service_fn(move |_: Request<Incoming>| {
            let (begun, may_go_on) = (begun.clone(), may_go_on.clone());
            async move {
                begun.send(()).await.unwrap();
                may_go_on.recv().await;
                Answer::Ok(Response::new(Full::from("done")))
            }
        });
        let connection = http2::Builder::new(Executor).serve_connection(Io::new(theirs), slow);
        let mut connection = pin!(connection);
        for _ in 0..2 {
            select! {
                _ = &mut connection => panic!("it waits for us"),
                _ = has_begun.recv() => {}
            }
        }
        connection.as_mut().graceful_shutdown();
        drop(go_on);
        connection.await
    });
    let mut client = client(ours).await;
    let mut request = || client.send_request(Request::new(Full::default()));
    let (one, other) = futures::future::join(request(), request()).await;
    assert_eq!(body(one.unwrap()).await, "done");
    assert_eq!(body(other.unwrap()).await, "done");
    server.await.unwrap().unwrap();
}

#[test]
fn axum_answers_both_versions_on_one_port() {
    everywhere(|| async {
        let app = Router::new()
            .route("/hello/{name}", get(hello))
            .route("/", post(|body: Bytes| async { body }));
        let address = web::listen(move |stream| {
            let service = TowerToHyperService::new(app.clone());
            async {
                let mut builder = auto::Builder::new(Executor);
                builder.http1().timer(Timer);
                builder.http2().timer(Timer);
                builder
                    .serve_connection(Io::new(stream), service)
                    .await
                    .unwrap();
            }
        })
        .await;

        let mut one = web::client(TcpStream::connect(address).await?).await;
        let request = Request::get("/hello/five%20rings").body(Full::default());
        let answer = one.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_11);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "hello, five rings");

        let mut two = client(TcpStream::connect(address).await?).await;
        let request = Request::post("/").body(Full::new(pattern(100_000)));
        let answer = two.send_request(request.unwrap()).await.unwrap();
        assert_eq!(body(answer).await, pattern(100_000));
        // The first connection is still there.
        one.ready().await.unwrap();
        let request = Request::post("/").body(Full::new(pattern(10))).unwrap();
        let answer = one.send_request(request).await.unwrap();
        assert!(answer.status().is_success());
        Ok(())
    });
}

async fn hello(axum::extract::Path(name): axum::extract::Path<String>) -> String {
    format!("hello, {name}")
}

#[gorin::test]
async fn the_auto_builder_serves_what_the_other_one_does() {
    let (ours, theirs) = tcp_pair().await;
    go(async move {
        let builder = auto::Builder::new(Executor);
        let connection = builder.serve_connection(Io::new(theirs), service_fn(mirror));
        connection.await.map_err(|error| error.to_string())
    });
    let mut client = web::client(ours).await;
    assert_eq!(ask(&mut client, pattern(70_000)).await, pattern(70_000));
}

#[test]
fn h2_takes_a_socket_as_it_is() {
    everywhere(|| async {
        let (ours, theirs) = tcp_pair().await;
        go(async move {
            let mut connection = h2::server::handshake(theirs).await.unwrap();
            while let Some(request) = connection.accept().await {
                let (request, mut respond) = request.unwrap();
                go(async move {
                    let mut body = request.into_body();
                    let mut len = 0;
                    while let Some(data) = body.data().await {
                        let data = data.unwrap();
                        len += data.len();
                        let _ = body.flow_control().release_capacity(data.len());
                    }
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    stream.send_data(len.to_string().into(), true).unwrap();
                });
            }
        });
        let (client, connection) = h2::client::handshake(ours).await.unwrap();
        go(connection);
        let mut client = client.ready().await.unwrap();
        let (answer, mut stream) = client
            .send_request(Request::post("http://test/").body(()).unwrap(), false)
            .unwrap();
        let mut left = pattern(1_000_000);
        while !left.is_empty() {
            stream.reserve_capacity(left.len());
            let room = poll_fn(|cx| stream.poll_capacity(cx))
                .await
                .unwrap()
                .unwrap();
            let piece = left.split_to(room.min(left.len()));
            stream.send_data(piece, left.is_empty()).unwrap();
        }
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "1000000");
        Ok(())
    });
}
