//! The HTTP example, started as a user starts it, and strangers that talk to it: std's blocking sockets,
//! which share no code with the server.

#![cfg(not(loom))]

#[path = "../../tests/common/mod.rs"]
mod common;
mod web;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Instant;

use common::{PATIENCE, Process, example_of, within_patience};
use gorin::hyper::{Executor, Io};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;

fn start() -> (Process, String) {
    let program = example_of("gorin-compat", "http");
    let server = Process::start(&program, &["127.0.0.1:0"]);
    let line = server.line_with("listening on ");
    let address = line.rsplit(' ').next().unwrap().to_owned();
    (server, address)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
}

/// What the server says when the client has nothing more to ask.
fn rest(mut stream: TcpStream) -> String {
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers
}

/// Looks until the request of `running` is seen to run, which it does for a second: if the machine is busy for so
/// long it may be over before.
fn is_seen(running: &TcpStream, observer: &mut TcpStream) -> bool {
    running.set_nonblocking(true).unwrap();
    let is_seen = loop {
        ask(observer, "/json");
        let mut answer = [0; 4096];
        let len = observer.read(&mut answer).unwrap();
        if String::from_utf8_lossy(&answer[..len]).contains("{\"requests\":2}") {
            break true;
        }
        if running.peek(&mut [0]).is_ok() {
            break false;
        }
    };
    running.set_nonblocking(false).unwrap();
    is_seen
}

#[test]
fn it_answers_logs_and_ends_when_it_is_told() {
    let (server, address) = start();
    let mut stream = connect(&address);
    ask(&mut stream, "/json");
    ask(&mut stream, "/nothing");
    let answers = rest(stream);
    assert!(answers.starts_with("HTTP/1.1 200 OK\r\n"), "{answers}");
    assert!(answers.contains("application/json"), "{answers}");
    assert!(answers.contains("HTTP/1.1 404 Not Found"), "{answers}");
    server.line_with("GET /json HTTP/1.1 200");
    server.line_with("GET /nothing HTTP/1.1 404");

    // Connections that have said nothing, that are idle after a request, and whose request runs.
    let mut silent = connect(&address);
    let mut idle = connect(&address);
    ask(&mut idle, "/");
    let mut head = [0; 15];
    idle.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let mut observer = connect(&address);
    let begun = Instant::now();
    let mut running = loop {
        assert!(begun.elapsed() < PATIENCE, "it is not seen to run");
        let mut running = connect(&address);
        ask(&mut running, "/slow");
        if is_seen(&running, &mut observer) {
            break running;
        }
    };
    server.signal("TERM");
    let mut rest = String::new();
    silent.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    idle.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("hello\n"), "{rest}");
    running.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("at last\n"), "{rest}");
    server.line_with("GET /slow HTTP/1.1 200");
    assert!(server.wait().success());
}

#[test]
fn its_limits_hold() {
    let (server, address) = start();
    let mut stream = connect(&address);
    let body = vec![7; (1 << 20) + 1];
    let mut writer = stream.try_clone().unwrap();
    // The server need not read all of what it does not want.
    let writing = std::thread::spawn(move || {
        let _ = write!(writer, "POST /echo HTTP/1.1\r\nhost: test\r\n");
        let _ = write!(writer, "content-length: {}\r\n\r\n", body.len());
        let _ = writer.write_all(&body);
    });
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
    writing.join().unwrap();
    server.line_with("POST /echo HTTP/1.1 413");

    // What is no HTTP ends its connection, and no other.
    let mut stream = connect(&address);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nno more").unwrap();
    assert!(rest(stream).starts_with("HTTP/1.1 400 "));
    server.signal("INT");
    assert!(server.wait().success());
}

#[test]
fn it_speaks_http2_and_ends_with_it() {
    within_patience(|| {
        let (server, address) = start();
        gorin::run(async {
            let stream = gorin::net::TcpStream::connect(&*address).await.unwrap();
            let builder = hyper::client::conn::http2::Builder::new(Executor);
            let (mut client, connection) = builder.handshake(Io::new(stream)).await.unwrap();
            let connection = gorin::go(connection);
            let request = |path: &str, body| {
                let uri = format!("http://test{path}");
                Request::post(uri)
                    .body(Full::new(Bytes::from(body)))
                    .unwrap()
            };
            let echoed = client.send_request(request("/echo", "five rings"));
            let echoed = echoed.await.unwrap().into_body().collect().await.unwrap();
            assert_eq!(echoed.to_bytes(), "five rings");
            server.line_with("POST /echo HTTP/2.0 200");
            server.signal("TERM");
            // It says goodbye, and waits for nobody.
            connection.await.unwrap().unwrap();
        });
        assert!(server.wait().success());
    });
}

#[test]
fn arguments_that_make_no_sense_are_refused_in_one_line() {
    let program = example_of("gorin-compat", "http");
    for args in [&["--help"][..], &["127.0.0.1:0", "surplus"]] {
        let output = Command::new(&program).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("usage: http [ADDRESS]"), "{text}");
    }
}
